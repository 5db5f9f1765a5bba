package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	shibbolethModule = apacheModules + "/mod_shib.so"
	shibdProgram     = "/usr/sbin/shibd"
)

// shibbolethDirectives takes the folder with the module's files and the module.
const shibbolethDirectives = `LoadModule mod_shib %[2]s
ShibConfig %[1]s/shibboleth2.xml
<Location "/Shibboleth.sso">
    AuthType None
    Require all granted
    SetHandler shib
</Location>
<Location "/page">
    AuthType shibboleth
    ShibRequestSetting requireSession 1
    Require shib-session
    Header set Remote-User "expr=%%{REMOTE_USER}"
    Header set Remote-Groups "%%{groups}e"
</Location>`

// shibbolethConfiguration takes the folder, Apache's URL and the entity ID of the IdP. Sessions are where they are when nothing is said: in shibd's memory, with
// a cache in each of Apache's children. The policies and bindings are those of the package.
const shibbolethConfiguration = `<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config" clockSkew="180">
    <OutOfProcess logger="%[1]s/shibd.logger"/>
    <InProcess logger="%[1]s/module.logger"/>
    <UnixListener address="%[1]s/shibd.sock"/>
    <ApplicationDefaults entityID="%[2]s/shibboleth" REMOTE_USER="email">
        <Sessions lifetime="28800" timeout="3600" relayState="ss:mem" checkAddress="false" handlerSSL="false" cookieProps="http" redirectLimit="exact">
            <SSO entityID="%[3]s">SAML2</SSO>
        </Sessions>
        <MetadataProvider type="XML" path="%[1]s/idp.xml"/>
        <AttributeExtractor type="XML" reloadChanges="false" path="%[1]s/attribute-map.xml"/>
        <CredentialResolver type="File" key="%[1]s/key.pem" certificate="%[1]s/certificate.pem"/>
    </ApplicationDefaults>
    <SecurityPolicyProvider type="XML" path="/etc/shibboleth/security-policy.xml"/>
    <ProtocolProvider type="XML" reloadChanges="false" path="/etc/shibboleth/protocols.xml"/>
</SPConfig>
`

const shibbolethAttributes = `<Attributes xmlns="urn:mace:shibboleth:2.0:attribute-map">
    <Attribute name="email" nameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic" id="email"/>
    <Attribute name="groups" nameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic" id="groups"/>
</Attributes>
`

// shibbolethLogger writes warnings to a file.
const shibbolethLogger = `log4j.rootCategory=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.fileName=%s
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%%p %%c: %%m%%n
`

func prepareShibboleth(dir, base string) (string, error) {
	files := peerTrust()
	files["shibboleth2.xml"] = fmt.Sprintf(shibbolethConfiguration, dir, base, benchIdP().EntityID)
	files["attribute-map.xml"] = shibbolethAttributes
	files["shibd.logger"] = fmt.Sprintf(shibbolethLogger, filepath.Join(dir, "shibd.log"))
	files["module.logger"] = fmt.Sprintf(shibbolethLogger, "/dev/stderr")
	return fmt.Sprintf(shibbolethDirectives, dir, shibbolethModule), writeFiles(dir, files)
}

// startShibd starts the daemon that keeps the sessions and reads SAML.
func startShibd(dir string) (*peerProcess, error) {
	p := &peerProcess{address: filepath.Join(dir, "shibd.sock")}
	p.command = exec.Command(shibdProgram, "-F", "-c", filepath.Join(dir, "shibboleth2.xml"), "-p", filepath.Join(dir, "shibd.pid"))
	p.command.Stderr = os.Stderr
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if err := awaitListener("unix", p.address); err != nil {
		p.terminate()
		return nil, fmt.Errorf("shibd: %w", err)
	}
	return p, nil
}
