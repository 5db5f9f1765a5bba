// Package setup says what an identity provider's administrator types where, in the words of that product's console. The trust page of a connection shows
// it with the connection's own values; the guides in docs/guides/identity-providers show it with example values.
package setup

import (
	"sallyport.dev/sallyport/internal/snapshot"
	"sallyport.dev/sallyport/internal/web/pages"
)

// Steps are what to do at the identity provider of a connection, and the product's name.
func Steps(c *snapshot.Connection) (product string, steps []pages.Step) {
	switch c.Type {
	case "Okta":
		return "Okta", oktaSteps(c)
	case "EntraID":
		return "Microsoft Entra ID", entraSteps(c)
	case "GoogleWorkspace":
		return "Google Workspace", googleSteps(c)
	case "ADFS":
		return "AD FS", adfsSteps(c)
	case "Keycloak":
		return "Keycloak", keycloakSteps(c)
	}
	return "your identity provider", genericSteps(c)
}

func value(name, value string) pages.Field  { return pages.Field{Name: name, Value: value, Code: true} }
func choice(name, value string) pages.Field { return pages.Field{Name: name, Value: value} }

// first is the name that the mapping reads first for something.
func first(sources []snapshot.AttributeSource, otherwise string) string {
	for _, s := range sources {
		if s.Name != "" {
			return s.Name
		}
	}
	return otherwise
}

type attributeNames struct{ email, firstName, lastName, groups string }

func namesOf(c *snapshot.Connection) attributeNames {
	m := c.Mapping
	return attributeNames{first(m.Email, "email"), first(m.FirstName, "firstName"), first(m.LastName, "lastName"), first(m.Groups.From, "groups")}
}

func withLogout(c *snapshot.Connection, fields []pages.Field, more ...pages.Field) []pages.Field {
	if c.Logout.Enabled {
		return append(fields, more...)
	}
	return fields
}

func oktaSteps(c *snapshot.Connection) []pages.Step {
	n := namesOf(c)
	return []pages.Step{
		{Where: "In the Admin Console, open Applications > Applications > Create App Integration and choose SAML 2.0."},
		{Where: "On Configure SAML, under General:", Fields: []pages.Field{
			value("Single sign-on URL", c.ACSURL), choice("Use this for Recipient URL and Destination URL", "checked"), value("Audience URI (SP Entity ID)", c.EntityID),
			choice("Default RelayState", "leave empty"), choice("Name ID format", "EmailAddress or Persistent"), choice("Application username", "Email"),
		}},
		{Where: "Under Show Advanced Settings:", Fields: withLogout(c, []pages.Field{
			choice("Response", "Signed"), choice("Assertion Signature", "Signed"), choice("Signature Algorithm", "RSA-SHA256"), choice("Digest Algorithm", "SHA256"),
			choice("Assertion Encryption", "Unencrypted, or Encrypted with the certificate below as Encryption Certificate"),
		}, choice("Allow application to initiate Single Logout", "checked, with the certificate below as Signature Certificate"), value("Single Logout URL", c.SLOURL), value("SP Issuer", c.EntityID))},
		{Where: "Under Attribute Statements:", Fields: []pages.Field{value(n.email, "user.email"), value(n.firstName, "user.firstName"), value(n.lastName, "user.lastName")}},
		{Where: "Under Group Attribute Statements:", Fields: []pages.Field{value(n.groups, "Matches regex .*")}},
		{Where: "On the Sign On tab, copy the Metadata URL and give it to the person who sent you here. Then assign people under Assignments."},
	}
}

func entraSteps(c *snapshot.Connection) []pages.Step {
	return []pages.Step{
		{Where: "In the Entra admin center, open Entra ID > Enterprise apps > New application > Create your own application, and choose Integrate any other application you don't find in the gallery."},
		{Where: "Open Single sign-on > SAML. Under Basic SAML Configuration, upload the metadata below with Upload metadata file, or fill in:", Fields: withLogout(c, []pages.Field{
			value("Identifier (Entity ID)", c.EntityID), value("Reply URL (Assertion Consumer Service URL)", c.ACSURL),
			choice("Sign on URL", "leave empty"), choice("Relay State", "leave empty"),
		}, value("Logout Url", c.SLOURL))},
		{Where: "Under Attributes & Claims, keep the default claims. Choose Add a group claim if groups are wanted; Security groups assigned to the application keeps the list short.", Fields: []pages.Field{
			choice("Unique User Identifier (Name ID)", "user.userprincipalname, or user.objectid with the format Persistent"),
			choice("Source attribute of the group claim", "Group ID, or sAMAccountName for synchronised groups"),
		}},
		{Where: "Under SAML Certificates, edit the token signing certificate:", Fields: []pages.Field{choice("Signing Option", "Sign SAML response and assertion"), choice("Signing Algorithm", "SHA-256")}},
		{Where: "Copy App Federation Metadata Url and give it to the person who sent you here. Then assign people under Users and groups."},
	}
}

func googleSteps(c *snapshot.Connection) []pages.Step {
	n := namesOf(c)
	return []pages.Step{
		{Where: "In the Admin console, open Apps > Web and mobile apps > Add app > Add custom SAML app, and give it a name."},
		{Where: "On Google Identity Provider details, choose Download metadata and give the file to the person who sent you here: Google has no metadata URL."},
		{Where: "On Service provider details:", Fields: []pages.Field{
			value("ACS URL", c.ACSURL), value("Entity ID", c.EntityID), choice("Start URL", "leave empty"), choice("Signed response", "checked"),
			choice("Name ID format", "EMAIL"), choice("Name ID", "Basic Information > Primary email"),
		}},
		{Where: "On Attribute mapping, Google directory attributes to app attributes:", Fields: []pages.Field{
			value("Primary email", n.email), value("First name", n.firstName), value("Last name", n.lastName), value("Group membership > App attribute", n.groups),
		}},
		{Where: "Back on the app's page, open User access and turn it on for the people who may sign in."},
	}
}

func adfsSteps(c *snapshot.Connection) []pages.Step {
	return []pages.Step{
		{Where: "In AD FS Management, open Relying Party Trusts > Add Relying Party Trust and choose Claims aware."},
		{Where: "Choose Import data about the relying party published online or on a local network:", Fields: []pages.Field{value("Federation metadata address (host name or URL)", c.MetadataURL)}},
		{Where: "Or choose Enter data about the relying party manually:", Fields: withLogout(c, []pages.Field{
			choice("Enable support for the SAML 2.0 WebSSO protocol", "checked"), value("Relying party SAML 2.0 SSO service URL", c.ACSURL),
			value("Relying party trust identifier", c.EntityID),
		}, value("Endpoints > SAML Logout > Trusted URL", c.SLOURL), choice("Signature", "add the certificate below"))},
		{Where: "Choose Edit Claim Issuance Policy and add a rule from Send LDAP Attributes as Claims, attribute store Active Directory:", Fields: []pages.Field{
			choice("E-Mail-Addresses", "E-Mail Address"), choice("Given-Name", "Given Name"), choice("Surname", "Surname"), choice("Token-Groups - Unqualified Names", "Group"),
		}},
		{Where: "Add a rule from Transform an Incoming Claim:", Fields: []pages.Field{
			choice("Incoming claim type", "E-Mail Address"), choice("Outgoing claim type", "Name ID"), choice("Outgoing name ID format", "Email"),
		}},
		{Where: "Give the person who sent you here your metadata address:", Fields: []pages.Field{value("Metadata", "https://<your AD FS host>/FederationMetadata/2007-06/FederationMetadata.xml")}},
	}
}

func keycloakSteps(c *snapshot.Connection) []pages.Step {
	n := namesOf(c)
	return []pages.Step{
		{Where: "In the realm's admin console, open Clients > Import client and choose the metadata below as resource file. Or choose Create client:", Fields: []pages.Field{
			choice("Client type", "SAML"), value("Client ID", c.EntityID), value("Valid redirect URIs", c.ACSURL), value("Master SAML Processing URL", c.ACSURL),
		}},
		{Where: "On the Settings tab:", Fields: []pages.Field{
			choice("Name ID format", "email or persistent"), choice("Force POST binding", "On"), choice("Include AuthnStatement", "On"),
			choice("Sign documents", "On"), choice("Sign assertions", "On"), choice("Signature algorithm", "RSA_SHA256"),
		}},
		{Where: "On the Keys tab:", Fields: []pages.Field{choice("Client signature required", "On, with the certificate below"), choice("Encrypt assertions", "as you like, with the certificate below")}},
		{Where: "On the Advanced tab:", Fields: withLogout(c, []pages.Field{value("Assertion Consumer Service POST Binding URL", c.ACSURL)},
			value("Logout Service POST Binding URL", c.SLOURL), value("Logout Service Redirect Binding URL", c.SLOURL))},
		{Where: "On the Client scopes tab, open the dedicated scope and add mappers; the SAML Attribute Name of each:", Fields: []pages.Field{
			value("User Property email", n.email), value("User Property firstName", n.firstName), value("User Property lastName", n.lastName),
			value("Group list, with Single Group Attribute On and Full group path Off", n.groups),
		}},
		{Where: "Give the person who sent you here your metadata address:", Fields: []pages.Field{value("Metadata", "https://<your host>/realms/<realm>/protocol/saml/descriptor")}},
	}
}

func genericSteps(c *snapshot.Connection) []pages.Step {
	return []pages.Step{
		{Where: "Register a SAML 2.0 service provider from the metadata address above. Or fill in:", Fields: withLogout(c, []pages.Field{
			value("Entity ID, audience or identifier", c.EntityID), value("ACS URL, reply URL, recipient and destination", c.ACSURL),
		}, value("Single logout URL", c.SLOURL))},
		{Where: "Sign the assertion, the response or both, with RSA of 2048 bits or more, or ECDSA, and SHA-256 or better."},
		{Where: "Send the attributes below by exactly these names."},
		{Where: "Give your metadata address to the person who sent you here."},
	}
}
