package compile

import (
	"crypto/sha256"
	"encoding/json"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/identity"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Checks remember what the rules and examples of one ServiceProvider's AttributeMappings came to, from one Compile to the next: those of a mapping that was made to take
// long cost a second. What one Compile does not ask for is forgotten after it, so that there are never more than there are mappings. They are for one Compile at a time.
type Checks struct {
	known map[digest]checked
}

type digest [sha256.Size]byte

// checked is what the content of a mapping and its examples decide, and nothing else does.
type checked struct {
	invalid  error
	failures []ExampleFailure
}

// check compiles the rules of a mapping and runs the examples, unless the last Compile has.
func (p *pass) check(mapping snapshot.Mapping, examples []v1alpha1.MappingExample) checked {
	content, err := json.Marshal(struct {
		Mapping  snapshot.Mapping
		Examples []v1alpha1.MappingExample
	}{mapping, examples})
	if err != nil {
		return checked{invalid: err}
	}
	sum := digest(sha256.Sum256(content))
	c, ok := p.in.Checks.known[sum]
	if !ok {
		c = checkAnew(mapping, examples)
	}
	p.checked[sum] = c
	return c
}

func checkAnew(mapping snapshot.Mapping, examples []v1alpha1.MappingExample) checked {
	compiled, err := identity.CompileMapping(mapping)
	if err != nil {
		return checked{invalid: err}
	}
	return checked{failures: runExamples(compiled, examples)}
}
