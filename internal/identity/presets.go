package identity

import "sallyport.dev/sallyport/internal/snapshot"

// Names of the claims that Entra ID and ADFS send.
const (
	claims       = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	entraGroups  = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"
	adfsGroups   = "http://schemas.xmlsoap.org/claims/Group"
	groupsLink   = "http://schemas.microsoft.com/claims/groups.link"
	linkSuffix   = "groups.link"
	emailOID     = "urn:oid:0.9.2342.19200300.100.1.3"
	givenNameOID = "urn:oid:2.5.4.42"
	surnameOID   = "urn:oid:2.5.4.4"
)

// Preset is the mapping that an IdP type starts with, under the names that its console sends by default. An unknown type gets Generic's.
// Every preset falls back on a NameID that is an address, and reads the 14 standard profile attributes by API name or OID.
func Preset(idpType string) snapshot.Mapping {
	var m snapshot.Mapping
	switch idpType {
	case "Okta":
		m = presetOf("email", "firstName", "lastName", "groups")
	case "EntraID":
		m = presetOf(claims+"emailaddress", claims+"givenname", claims+"surname", entraGroups)
	case "GoogleWorkspace":
		m = presetOf("email", "first_name", "last_name", "groups")
	case "ADFS":
		m = presetOf(claims+"emailaddress", claims+"givenname", claims+"surname", adfsGroups)
	case "Keycloak":
		m = presetOf("email", "firstName", "lastName", "groups")
		m.Email = append(m.Email, snapshot.AttributeSource{Name: emailOID})
		m.FirstName = append(m.FirstName, snapshot.AttributeSource{Name: givenNameOID})
		m.LastName = append(m.LastName, snapshot.AttributeSource{Name: surnameOID})
		// Keycloak's role list mapper sends roles as Role; its group list mapper sends member.
		m.Groups.From = append(m.Groups.From, snapshot.AttributeSource{Name: "member"}, snapshot.AttributeSource{Name: "Role"})
	default:
		m = presetOf("email", "firstName", "lastName", "groups")
	}
	for _, a := range StandardAttributes {
		m.Profile = append(m.Profile, snapshot.ProfileMapping{
			Attribute: a.Name, From: []snapshot.AttributeSource{{Name: a.Name}, {Name: "urn:oid:" + a.OID}},
		})
	}
	return m
}

func presetOf(email, first, last, groups string) snapshot.Mapping {
	from := func(name string) []snapshot.AttributeSource { return []snapshot.AttributeSource{{Name: name}} }
	return snapshot.Mapping{Email: from(email), FirstName: from(first), LastName: from(last), Groups: snapshot.GroupsMapping{From: from(groups)}}
}
