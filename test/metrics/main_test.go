// Package metrics runs the operator and the service provider as the programs that they are, against a real API server, has them do what they are for, and
// holds what they answer on /metrics against docs/metrics.md, the alerts, the dashboards and the runbooks.
package metrics

import (
	"fmt"
	"os"
	"testing"

	"sallyport.dev/sallyport/test/internal/nodeless"
)

const root = "../.."

// machine is where the programs run.
var machine *nodeless.Machine

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	started, end, err := nodeless.New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer end()
	machine = started
	return m.Run()
}
