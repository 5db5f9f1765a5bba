package main

import "fmt"

// mellonDirectives takes the folder with the module's files and the module. A session is in memory that Apache's children share; the cookie is its key.
const mellonDirectives = `LoadModule auth_mellon_module %[2]s/mod_auth_mellon.so
MellonLockFile %[1]s/mellon.lock
<Location "/">
    MellonEnable "info"
    MellonEndpointPath "/mellon"
    MellonSPPrivateKeyFile %[1]s/key.pem
    MellonSPCertFile %[1]s/certificate.pem
    MellonIdPMetadataFile %[1]s/idp.xml
    MellonSecureCookie Off
    MellonUser "email"
    MellonMergeEnvVars On ","
</Location>
<Location "/page">
    AuthType "Mellon"
    MellonEnable "auth"
    Require valid-user
    Header set Remote-User "expr=%%{REMOTE_USER}"
    Header set Remote-Groups "%%{MELLON_groups}e"
</Location>`

func prepareMellon(dir, _ string) (string, error) {
	return fmt.Sprintf(mellonDirectives, dir, apacheModules), writeFiles(dir, peerTrust())
}
