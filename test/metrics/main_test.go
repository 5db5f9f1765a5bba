// Package metrics runs the operator and the service provider as the programs that they are, against a real API server, has them do what they are for, and
// holds what they answer on /metrics against docs/metrics.md, the alerts, the dashboards and the runbooks.
package metrics

import (
	"os"
	"testing"

	"sallyport.dev/sallyport/test/internal/nodeless"
)

const root = "../.."

// machine is where the programs run.
var machine nodeless.Machine

func TestMain(m *testing.M) { os.Exit(machine.Run(m)) }
