package crdcases

import (
	"fmt"
	"slices"
	"strings"
)

func signedHeaderCases() []Case {
	const sp, path = "ServiceProvider", "spec.signedHeader"
	return slices.Concat(
		accept(sp, path, `{}`, `{state: Enabled}`, `{state: Disabled}`, `{keyLifetime: 24h}`, `{keyLifetime: 26280h}`),
		refuse("Unsupported value", sp, path, `{state: "On"}`),
		refuse("keyLifetime must be between 24h and 26280h: write hours, minutes and seconds, such as 2160h", sp, path, `{keyLifetime: 23h59m}`, `{keyLifetime: 26281h}`, `{keyLifetime: "90 days"}`),
	)
}

func accessCases() []Case {
	const sp, rules = "ServiceProvider", "spec.access.rules"
	const either = "either allow (Public or SignedIn), or at least one of groups, users and identityProviders"
	const path = "must start with / and be a plain path such as /admin: no query, no %-escapes, no empty, . or .. segments, no semicolons or backslashes"
	rule := func(fields string) string { return "[{hosts: [app.example.com], " + fields + "}]" }
	var paths, badPaths []string
	for _, p := range []string{"/", "/admin", "/admin/", "/a/b.c/~d", "/.well-known", "/...", "/naïve"} {
		paths = append(paths, rule(fmt.Sprintf("allow: Public, pathPrefixes: [%q]", p)))
	}
	for _, p := range []string{"admin", "//", "/a//b", "/a/../b", "/..", "/.", "/a/./b", "/a?b", "/a#b", "/a%2fb", "/a;b", `/a\b`, "/a b"} {
		badPaths = append(badPaths, rule(fmt.Sprintf("allow: Public, pathPrefixes: [%q]", p)))
	}
	// The largest section that the limits allow must fit the API server's budget for validation.
	many := func(n int, item string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(item, i))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	largest := fmt.Sprintf("{hosts: %s, pathPrefixes: %s, methods: [GET], groups: %s, users: %s, identityProviders: %s}",
		many(16, "host-%d.example.com"), many(16, "/path/%d"), many(64, "group-%d"), many(64, "user-%d@example.com"), many(64, "idp-%d"))
	full := "[" + strings.TrimSuffix(strings.Repeat(largest+", ", 64), ", ") + "]"
	return slices.Concat(
		accept(sp, rules, rule("allow: Public"), rule("allow: SignedIn"), rule("groups: [dev]"), rule(`users: ["Alice@acme.example"]`), rule("identityProviders: [okta]"),
			rule("groups: [ops], users: [a@b], identityProviders: [okta], methods: [GET, M-SEARCH]"), `[{hosts: ["*.example.com", localhost], allow: SignedIn}]`, full),
		accept(sp, rules, paths...),
		refuse(path, sp, rules, badPaths...),
		refuse(either, sp, rules, rule("methods: [GET]"), rule("allow: Public, groups: [dev]"), rule("allow: SignedIn, identityProviders: [okta]")),
		refuse("Unsupported value", sp, rules, rule("allow: Everyone")),
		refuse("must be a method in upper case: write GET", sp, rules, rule("allow: Public, methods: [get]")),
		refuse(oneGroup, sp, rules, rule(`groups: ["a,b"]`)),
		refuse(oneGroup, sp, "spec.admins", `{groups: ["a,b"], identityProviders: [okta]}`),
		refuse("must be an e-mail address such as alice@example.com", sp, rules, rule("users: [alice]"), rule(`users: ["a b@example.com"]`)),
		refuse("must be a lower-case host such as app.example.com, or *.example.com for every host below it: no scheme, port or path", sp, rules, `[{hosts: ["app.example.com:8443"], allow: Public}]`),
		refuse("a wildcard must have at least two labels after it: write *.example.com", sp, rules, `[{hosts: ["*.com"], allow: Public}]`),
		refuse("should have at least 1 items", sp, rules, `[]`, `[{hosts: [], allow: Public}]`, rule("groups: []")),
		refuse("Required value", sp, rules, `[{allow: Public}]`),
		refuse("Too many", sp, rules, "["+strings.TrimSuffix(strings.Repeat("{hosts: [a], allow: Public}, ", 65), ", ")+"]"),
	)
}
