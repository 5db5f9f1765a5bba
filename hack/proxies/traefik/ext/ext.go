// Package ext holds the extension points of the dynamic configuration, which are empty in Traefik itself.
package ext

// HTTP and Router extend nothing.
type (
	HTTP   struct{}
	Router struct{}
)
