// Command cmd builds the proxies that the tests run and that no Debian package brings: all of them, or those that are named.
package main

import (
	"fmt"
	"os"

	"sallyport.dev/sallyport/hack/proxies"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		names = proxies.Names
	}
	for _, name := range names {
		program, err := proxies.Program(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(program)
	}
}
