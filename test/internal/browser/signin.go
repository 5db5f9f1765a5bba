package browser

// SignInAtSimpleSAMLphp fills SimpleSAMLphp's own form. Its page that posts the response back needs no press while scripts run.
func (b *Tab) SignInAtSimpleSAMLphp(name, password string) {
	b.t.Helper()
	b.Type("#username", name)
	b.Type("#password", password)
	b.Press("#submit_button")
}
