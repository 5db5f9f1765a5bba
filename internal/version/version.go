// Package version says which build this is. The linker fills the values in.
package version

// Version is the release or the nearest tag, and Commit the revision that it was built from.
var (
	Version = "dev"
	Commit  = "unknown"
)

// String is both, for people and for User-Agent headers.
func String() string { return Version + " (" + Commit + ")" }
