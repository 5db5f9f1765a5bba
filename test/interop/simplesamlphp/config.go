// Package simplesamlphp runs SimpleSAMLphp, an identity provider that nobody here wrote, as the other side of a sign-in.
//
// Debian's packages simplesamlphp, php-cli, php-xml, php-mbstring and php-curl have to be installed. Config says which files it reads;
// Start runs it on loopback, and a pod can run the same files.
package simplesamlphp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CodeDir is where Debian's package keeps the program; browsers are served its folder www.
const CodeDir = "/usr/share/simplesamlphp"

// The NameID formats that the IdP can be told to send for an SP.
const (
	PersistentNameID = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	EmailNameID      = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
)

// The bindings that it speaks.
const (
	RedirectBinding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	PostBinding     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// User is an account at the IdP. Attributes go into the assertion as they are.
type User struct {
	Name, Password string
	Attributes     map[string][]string
}

// Users are the three accounts of the tests. mallory's record claims the address of somebody in a domain that is not the IdP's.
func Users() []User {
	person := func(name, first, last, email string, groups []string, department string) User {
		return User{Name: name, Password: name + "-password", Attributes: map[string][]string{
			"uid": {name}, "email": {email}, "firstName": {first}, "lastName": {last}, "groups": groups, "department": {department},
		}}
	}
	return []User{
		person("alice", "Alice", "Adams", "alice@acme.example", []string{"dev", "oncall"}, "ML"),
		person("bob", "Bob", "Brown", "bob@acme.example", []string{"sales"}, "Sales"),
		person("mallory", "Mallory", "Moss", "ceo@victim.example", []string{"dev"}, "ML"),
	}
}

// SP is a service provider that the IdP trusts.
type SP struct {
	EntityID, ACSURL, SLOURL string
	// SLOBinding is how logout messages go to SLOURL; empty for the Redirect binding.
	SLOBinding string
	// Certificates are base64 DER, as in metadata, without line breaks. With them the IdP checks signatures of requests.
	Certificates []string
	NameIDFormat string
	// Attributes are released to the SP, and no others; empty: all. The NameID is made before.
	Attributes []string
	// EncryptAssertions encrypts to the first of Certificates, with AES-128-CBC and RSA-OAEP: this version of SimpleSAMLphp has no choice.
	EncryptAssertions bool
	// SignResponse signs the response too, not the assertion alone.
	SignResponse bool
}

// Config is what the IdP's files say.
type Config struct {
	// BaseURL is where a browser finds the program, ending in a slash, such as https://idp.acme.example/simplesaml/.
	BaseURL string
	// Dir is where the files will lie when the IdP reads them; it writes its sessions to RunDir.
	Dir, RunDir string
	Users       []User
	SPs         []SP
	// NextKey publishes cert/next.crt in the metadata beside cert/idp.crt, and signs nothing with it.
	NextKey bool
}

// EntityID is the IdP's own name.
func (c Config) EntityID() string { return c.BaseURL + "saml2/idp/metadata.php" }

// Files returns the configuration, by path relative to Dir. The keys cert/idp.key, cert/idp.crt (and cert/next.*) are the caller's to add.
func (c Config) Files() map[string]string {
	return map[string]string{
		"config/config.php":              c.main(),
		"config/authsources.php":         c.accounts(),
		"metadata/saml20-idp-hosted.php": c.hosted(),
		"metadata/saml20-sp-remote.php":  c.remotes(),
	}
}

func (c Config) main() string {
	return "<?php\n$config = " + php(map[string]any{
		"baseurlpath":                 c.BaseURL,
		"certdir":                     c.Dir + "/cert/",
		"metadatadir":                 c.Dir + "/metadata/",
		"loggingdir":                  c.RunDir + "/",
		"datadir":                     c.RunDir + "/",
		"tempdir":                     c.RunDir + "/tmp",
		"attributenamemapdir":         "/etc/simplesamlphp/attributemap/",
		"timezone":                    "UTC",
		"technicalcontact_name":       "Operator of the test identity provider",
		"technicalcontact_email":      "operator@acme.example",
		"secretsalt":                  "only-for-tests-on-loopback",
		"auth.adminpassword":          "only-for-tests-on-loopback",
		"admin.checkforupdates":       false,
		"trusted.url.domains":         []string{},
		"enable.saml20-idp":           true,
		"module.enable":               map[string]any{"exampleauth": true, "core": true, "saml": true},
		"logging.handler":             "file",
		"logging.level":               5,
		"logging.logfile":             "simplesamlphp.log",
		"session.cookie.secure":       strings.HasPrefix(c.BaseURL, "https:"),
		"session.phpsession.savepath": c.RunDir,
		"session.phpsession.httponly": true,
		"store.type":                  "phpsession",
		"language.default":            "en",
		"production":                  true,
		"metadata.sources":            []any{map[string]any{"type": "flatfile"}},
	}) + ";\n"
}

func (c Config) accounts() string {
	source := map[string]any{"0": "exampleauth:UserPass"}
	for _, user := range c.Users {
		attributes := map[string]any{}
		for name, values := range user.Attributes {
			attributes[name] = values
		}
		source[user.Name+":"+user.Password] = attributes
	}
	return "<?php\n$config = " + php(map[string]any{"accounts": source}) + ";\n"
}

func (c Config) hosted() string {
	entry := map[string]any{
		"host":                       "__DEFAULT__",
		"privatekey":                 "idp.key",
		"certificate":                "idp.crt",
		"auth":                       "accounts",
		"sign.logout":                true,
		"saml20.sign.assertion":      true,
		"SingleSignOnServiceBinding": []string{RedirectBinding, PostBinding},
		"SingleLogoutServiceBinding": []string{RedirectBinding, PostBinding},
		"authproc": map[string]any{
			"1": map[string]any{"class": "saml:AttributeNameID", "attribute": "uid", "Format": PersistentNameID},
			"2": map[string]any{"class": "saml:AttributeNameID", "attribute": "email", "Format": EmailNameID},
		},
	}
	if c.NextKey {
		entry["new_privatekey"], entry["new_certificate"] = "next.key", "next.crt"
	}
	return "<?php\n$metadata[" + php(c.EntityID()) + "] = " + php(entry) + ";\n"
}

func (c Config) remotes() string {
	var out strings.Builder
	out.WriteString("<?php\n")
	for _, sp := range c.SPs {
		entry := map[string]any{
			"AssertionConsumerService": sp.ACSURL,
			"NameIDFormat":             sp.NameIDFormat,
			"assertion.encryption":     sp.EncryptAssertions,
			"saml20.sign.response":     sp.SignResponse,
			"simplesaml.attributes":    true,
		}
		if sp.NameIDFormat == "" {
			entry["NameIDFormat"] = PersistentNameID
		}
		if len(sp.Attributes) > 0 {
			limit := map[string]any{"class": "core:AttributeLimit"}
			for i, name := range sp.Attributes {
				limit[fmt.Sprint(i)] = name
			}
			entry["authproc"] = map[string]any{"50": limit}
		}
		if sp.SLOURL != "" {
			binding := sp.SLOBinding
			if binding == "" {
				binding = RedirectBinding
			}
			entry["SingleLogoutService"] = []any{map[string]any{"Binding": binding, "Location": sp.SLOURL}}
		}
		if len(sp.Certificates) > 0 {
			var keys []any
			for _, certificate := range sp.Certificates {
				keys = append(keys, map[string]any{"type": "X509Certificate", "signing": true, "encryption": true, "X509Certificate": certificate})
			}
			entry["keys"] = keys
			entry["validate.authnrequest"], entry["validate.logout"] = true, true
		}
		fmt.Fprintf(&out, "$metadata[%s] = %s;\n", php(sp.EntityID), php(entry))
	}
	return out.String()
}

// php writes a value as PHP source. Strings are single-quoted, so nothing in them is ever interpolated.
func php(value any) string {
	switch v := value.(type) {
	case bool:
		return fmt.Sprintf("%t", v)
	case int:
		return fmt.Sprintf("%d", v)
	case string:
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
	case []string:
		var items []string
		for _, item := range v {
			items = append(items, php(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, php(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			items = append(items, php(key)+" => "+php(v[key]))
		}
		return "[\n" + strings.Join(items, ",\n") + "\n]"
	default:
		panic(fmt.Sprintf("simplesamlphp: no PHP for %T", value))
	}
}
