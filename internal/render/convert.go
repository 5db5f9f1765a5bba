package render

import (
	"encoding/json"
	"fmt"
)

// convert turns a type of the API into its apply configuration; both have the same JSON form by construction.
func convert[T any](from any) *T {
	encoded, err := json.Marshal(from)
	if err != nil {
		panic(fmt.Sprintf("render: %T does not marshal: %v", from, err))
	}
	to := new(T)
	if err := json.Unmarshal(encoded, to); err != nil {
		panic(fmt.Sprintf("render: %T is not %T: %v", from, to, err))
	}
	return to
}
