package saml

// adviceTexts are in the words of each IdP's console, by topic and then by type. The key "" holds for every type.
// {in} ends the commands of kubectl: it is the flag that names the namespace.
var adviceTexts = map[topic]map[string]string{
	topicAudience: {
		"Okta":            "In Okta: General > SAML Settings > Audience URI (SP Entity ID): set it to {entityID}.",
		"EntraID":         "In Microsoft Entra: Enterprise applications > the application > Single sign-on > Basic SAML Configuration > Identifier (Entity ID): set it to {entityID}.",
		"GoogleWorkspace": "In the Google Admin console: Apps > Web and mobile apps > the app > Service provider details > Entity ID: set it to {entityID}.",
		"ADFS":            "In AD FS Management: Relying Party Trusts > the trust > Properties > Identifiers: add {entityID}.",
		"Keycloak":        "In Keycloak: Clients > the client > Settings > Client ID: set it to {entityID}.",
		"Generic":         "At the IdP: set the audience (SP entity ID) to {entityID}.",
	},
	topicACS: {
		"Okta":            "In Okta: General > SAML Settings > Single sign-on URL: set it to {acs} and use it for Recipient URL and Destination URL too.",
		"EntraID":         "In Microsoft Entra: Enterprise applications > the application > Single sign-on > Basic SAML Configuration > Reply URL (Assertion Consumer Service URL): set it to {acs}.",
		"GoogleWorkspace": "In the Google Admin console: Apps > Web and mobile apps > the app > Service provider details > ACS URL: set it to {acs}.",
		"ADFS":            "In AD FS Management: Relying Party Trusts > the trust > Properties > Endpoints: set the SAML Assertion Consumer Endpoint (POST) to {acs}.",
		"Keycloak":        "In Keycloak: Clients > the client > Advanced > Assertion Consumer Service POST Binding URL: set it to {acs}.",
		"Generic":         "At the IdP: set the assertion consumer service (ACS, recipient, destination) to {acs}.",
	},
	topicLogoutURL: {
		"Okta":     "In Okta: General > SAML Settings > Single Logout URL: set it to {slo}.",
		"EntraID":  "In Microsoft Entra: Enterprise applications > the application > Single sign-on > Basic SAML Configuration > Logout Url: set it to {slo}.",
		"ADFS":     "In AD FS Management: Relying Party Trusts > the trust > Properties > Endpoints: set the SAML Logout endpoint to {slo}.",
		"Keycloak": "In Keycloak: Clients > the client > Advanced > Logout Service URLs: set them to {slo}.",
		"Generic":  "At the IdP: set the single logout URL to {slo}.",
	},
	topicCertificate: {
		"Okta":            "In Okta: Sign On > SAML Signing Certificates shows the active certificate. If it was rotated, refresh the metadata here: kubectl sso refresh idp/{name}{in}.",
		"EntraID":         "In Microsoft Entra: Single sign-on > SAML Certificates shows the active token signing certificate. If it was rotated, refresh the metadata here: kubectl sso refresh idp/{name}{in}.",
		"GoogleWorkspace": "In the Google Admin console: the app > Service provider details > Certificate shows the certificate in use. Download the IdP metadata again and put it into spec.saml.metadata of idp/{name}.",
		"ADFS":            "In AD FS Management: Service > Certificates > Token-signing shows the primary certificate. If it rolled over, refresh the metadata here: kubectl sso refresh idp/{name}{in}.",
		"Keycloak":        "In Keycloak: Realm settings > Keys shows the active RS256 certificate. If it was rotated, refresh the metadata here: kubectl sso refresh idp/{name}{in}.",
		"Generic":         "If the IdP changed its signing certificate, refresh its metadata here (kubectl sso refresh idp/{name}{in}) or put the new certificate into spec.saml.metadata.",
	},
	topicSigning: {
		"Okta":            "In Okta: General > SAML Settings > Show Advanced Settings > Assertion Signature: set it to Signed.",
		"EntraID":         "In Microsoft Entra: Single sign-on > SAML Certificates > Signing Option: set it to Sign SAML assertion.",
		"GoogleWorkspace": "In the Google Admin console: Google signs the assertion by default; check that the response came from Google unchanged.",
		"ADFS":            "In AD FS: Set-AdfsRelyingPartyTrust -SamlResponseSignature AssertionOnly.",
		"Keycloak":        "In Keycloak: Clients > the client > Settings > Signature and Encryption > Sign assertions: switch it on.",
		"Generic":         "At the IdP: switch on signing of the assertion or of the response.",
	},
	topicSignResponse: {
		"Okta":            "In Okta: General > SAML Settings > Show Advanced Settings > Response: set it to Signed. Or set spec.saml.response.responseSignature of idp/{name} to Optional.",
		"EntraID":         "In Microsoft Entra: Single sign-on > SAML Certificates > Signing Option: set it to Sign SAML response and assertion. Or set spec.saml.response.responseSignature of idp/{name} to Optional.",
		"GoogleWorkspace": "In the Google Admin console: the app > Service provider details > Signed response: tick it. Or set spec.saml.response.responseSignature of idp/{name} to Optional.",
		"ADFS":            "In AD FS: Set-AdfsRelyingPartyTrust -SamlResponseSignature MessageAndAssertion. Or set spec.saml.response.responseSignature of idp/{name} to Optional.",
		"Keycloak":        "In Keycloak: Clients > the client > Settings > Signature and Encryption > Sign documents: switch it on. Or set spec.saml.response.responseSignature of idp/{name} to Optional.",
		"Generic":         "At the IdP: switch on signing of the response. Or set spec.saml.response.responseSignature of idp/{name} to Optional.",
	},
	topicAlgorithm: {
		"Okta":            "In Okta: General > SAML Settings > Show Advanced Settings > Signature Algorithm: RSA-SHA256, Digest Algorithm: SHA256.",
		"EntraID":         "In Microsoft Entra: Single sign-on > SAML Certificates > Signing Algorithm: set it to SHA-256.",
		"GoogleWorkspace": "Google signs with RSA-SHA256; check that the response came from Google unchanged.",
		"ADFS":            "In AD FS Management: Relying Party Trusts > the trust > Properties > Advanced > Secure hash algorithm: set it to SHA-256.",
		"Keycloak":        "In Keycloak: Clients > the client > Settings > Signature and Encryption > Signature algorithm: RSA_SHA256, Canonicalization method: EXCLUSIVE.",
		"Generic":         "At the IdP: sign with RSA-SHA256 or better and exclusive canonicalization. Where only SHA-1 is possible, spec.saml.response.sha1 of idp/{name} can be set to Allowed.",
	},
	topicIssuer: {
		"Okta":            "In Okta: Sign On > View SAML setup instructions > Identity Provider Issuer must be {issuer}; otherwise the metadata in spec.saml.metadata of idp/{name} belongs to another application.",
		"EntraID":         "In Microsoft Entra: Single sign-on > Set up > Microsoft Entra Identifier must be {issuer}; otherwise the metadata in spec.saml.metadata of idp/{name} belongs to another tenant.",
		"GoogleWorkspace": "In the Google Admin console: the app > Download metadata > Entity ID must be {issuer}; otherwise the metadata in spec.saml.metadata of idp/{name} belongs to another account.",
		"ADFS":            "In AD FS Management: Service > Edit Federation Service Properties > Federation Service identifier must be {issuer}.",
		"Keycloak":        "In Keycloak: the issuer is the realm's URL and must be {issuer}; check the realm and its Frontend URL.",
		"Generic":         "The IdP's entity ID must be {issuer}: check that spec.saml.metadata of idp/{name} is of this IdP.",
	},
	topicClock: {
		"ADFS":    "Compare the clocks of both sides (w32tm /query /status on the AD FS server). On the AD FS side, Set-AdfsRelyingPartyTrust -NotBeforeSkew 2 helps with NotBefore; here spec.saml.response.clockSkew of idp/{name} allows {skew} and may be raised to 10m.",
		"Generic": "Compare the clocks of both sides (NTP). If the sign-in page was left open for long, sign in again. spec.saml.response.clockSkew of idp/{name} allows {skew} and may be raised to 10m.",
	},
	topicUnsolicited: {
		"Okta":            "Sign in from the application, not from the Okta dashboard tile: hide the tile (General > App visibility), or set spec.saml.response.unsolicited of idp/{name} to Allowed. If the sign-in did start here, its cookie was lost, it took more than 15 minutes, or the answer was sent twice (the back button).",
		"EntraID":         "Sign in from the application, not from My Apps: set Properties > Visible to users to No, or set spec.saml.response.unsolicited of idp/{name} to Allowed. If the sign-in did start here, its cookie was lost, it took more than 15 minutes, or the answer was sent twice (the back button).",
		"GoogleWorkspace": "Sign in from the application, not from Google's app launcher, or set spec.saml.response.unsolicited of idp/{name} to Allowed. If the sign-in did start here, its cookie was lost, it took more than 15 minutes, or the answer was sent twice (the back button).",
		"Generic":         "Sign in from the application and not at the IdP, or set spec.saml.response.unsolicited of idp/{name} to Allowed. If the sign-in did start here, its cookie was lost, it took more than 15 minutes, or the answer was sent twice (the back button).",
	},
	topicEncryption: {
		"Okta":            "In Okta: General > SAML Settings > Show Advanced Settings > Assertion Encryption: AES256-GCM, Key Transport Algorithm RSA-OAEP, and upload the encryption certificate of {metadata}.",
		"EntraID":         "In Microsoft Entra: Token encryption: import the encryption certificate of {metadata} and activate it. Entra encrypts with AES-256-CBC, which is accepted only when the response is signed: Signing Option: Sign SAML response and assertion.",
		"GoogleWorkspace": "Google does not encrypt assertions: set spec.saml.response.encryption of idp/{name} to Optional.",
		"ADFS":            "In AD FS Management: Relying Party Trusts > the trust > Properties > Encryption: use the encryption certificate of {metadata}. AD FS encrypts with AES-CBC, which is accepted only when the response is signed: Set-AdfsRelyingPartyTrust -SamlResponseSignature MessageAndAssertion.",
		"Keycloak":        "In Keycloak: Clients > the client > Keys > Encryption keys config: import the encryption certificate of {metadata}; choose AES_256_GCM and RSA-OAEP-11.",
		"Generic":         "At the IdP: encrypt to the encryption certificate of {metadata} with AES-GCM and RSA-OAEP. AES-CBC is accepted only when the Response itself is signed.",
	},
	topicEmail: {
		"Okta":            "In Okta: General > SAML Settings > Attribute Statements: add email = user.email, or set Name ID format to EmailAddress.",
		"EntraID":         "In Microsoft Entra: Single sign-on > Attributes & Claims: the claim emailaddress needs a source attribute that the user has, such as user.mail or user.userprincipalname.",
		"GoogleWorkspace": "In the Google Admin console: the app > SAML attribute mapping: map Primary email to email.",
		"ADFS":            "In AD FS Management: Relying Party Trusts > the trust > Edit Claim Issuance Policy: send the LDAP attribute E-Mail-Addresses as E-Mail Address.",
		"Keycloak":        "In Keycloak: Clients > the client > Client scopes > the dedicated scope > Add mapper > User Property: property email, SAML attribute name email.",
		"Generic":         "At the IdP: release the person's e-mail address under a name that the AttributeMapping of idp/{name} reads, or change the AttributeMapping.",
	},
	topicAssignment: {
		"Okta":            "In Okta: check that the person is assigned to the application (Assignments) and what the System Log says.",
		"EntraID":         "In Microsoft Entra: check that the person is assigned to the application (Users and groups) and what Sign-in logs say.",
		"GoogleWorkspace": "In the Google Admin console: check that the app is ON for the person's organizational unit (User access).",
		"ADFS":            "In AD FS Management: check the Access Control Policy of the relying party trust and the AD FS event log.",
		"Keycloak":        "In Keycloak: check the realm's Events > Login events for the reason.",
		"Generic":         "The IdP refused: its own log has the reason.",
	},
	topicContext: {
		"": "At the IdP: require the sign-in method that spec.saml.request.authnContext of idp/{name} asks for, or change that setting.",
	},
	topicSize: {
		"Generic": "At the IdP: release fewer attributes or filter the groups. Where all of them are needed, raise spec.responses.maxBytes of the ServiceProvider, to 2 MiB at most.",
		"Okta":    "In Okta: General > SAML Settings > Group Attribute Statements: filter the groups that are sent. Where all of them are needed, raise spec.responses.maxBytes of the ServiceProvider, to 2 MiB at most.",
		"EntraID": "In Microsoft Entra: Attributes & Claims > Group Claim: choose Groups assigned to the application. Where all of them are needed, raise spec.responses.maxBytes of the ServiceProvider, to 2 MiB at most.",
	},
	topicDomain: {
		"": "Bind the domain to this IdP with a DomainBinding for idp/{name}, or correct the address at the IdP.",
	},
	topicState: {
		"": "Set spec.state of idp/{name} to Enabled.",
	},
	topicUser: {
		"": "Set spec.provisioning.jit of idp/{name} to Enabled, or check that the IdP sends the NameID that the user is known by.",
	},
	topicSuspended: {
		"": "kubectl sso users show ADDRESS{in} says since when and why; kubectl sso users resume ADDRESS{in} lets them sign in again.",
	},
	topicFactor: {
		"": "kubectl sso users reset-second-factor ADDRESS{in} lets the person enrol again.",
	},
	topicSignLogout: {
		"Okta":     "Okta signs its logout messages: check that this one came from Okta unchanged, and that single logout was set up with this service provider's signature certificate (General > SAML Settings > Signature Certificate).",
		"Keycloak": "In Keycloak: Clients > the client > Settings > Signature and Encryption > Sign documents: switch it on.",
		"Generic":  "At the IdP: switch on signing of logout requests and logout responses. An unsigned one ends no session.",
	},
	topicLogoutState: {
		"": "Set spec.saml.logout.state of idp/{name} to Enabled, or take the single logout URL out of the IdP's settings.",
	},
	topicLogoutAnswer: {
		"": "Nothing has to be done: the session here ended before the IdP was asked. The answer came twice, too late, or to another browser; signing out at the IdP itself ends a session that it may still have.",
	},
	topicTrust: {
		"": "The condition TrustEstablished of idp/{name} (kubectl describe idp {name}{in}) says what is missing: give the IdP's metadata in spec.saml.metadata.",
	},
	topicRequest: {
		"": "Start the sign-in again from the application. If it fails every time, the IdP does not copy the request's ID into InResponseTo, or answers from another connection's settings: the assertion consumer service of this one is {acs}.",
	},
	topicReplay: {
		"": "Sign in again. If it fails every time, something between the browser and this service sends the form twice.",
	},
	topicMalformed: {
		"": "Compare the message (kubectl sso debug idp/{name}{in} --xml) with what the IdP's own log says it sent: something on the way may have changed it, or the IdP does not follow the SAML 2.0 browser profile here.",
	},
}
