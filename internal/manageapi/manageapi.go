// Package manageapi is what the management API of a service provider answers, as JSON (docs/reference/management-api.md): the service provider writes it, its
// admin view, the operator and `kubectl sso` read it. It holds shapes alone: who asks is internal/cli/manage or the operator, who answers internal/web/management.
package manageapi

const (
	// ActorHeader says on whose behalf a request is made; it goes into the audit record.
	ActorHeader = "X-Sallyport-Actor"
	// NextCursorHeader carries the cursor of the next page of audit lines, empty at the end: their bytes must stay exactly as their hashes cover them.
	NextCursorHeader = "X-Next-Cursor"
)

// Page is one page of a list; Next is the cursor of the next one, empty at the end.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}
