// Package gitops has Flux's engine, and what Argo CD computes, work on docs/examples/gitops, against a real API server, the operator and a service provider. It is a module of
// its own, so that what the engines need stays out of the product's.
package gitops

import (
	"os"
	"testing"

	"sallyport.dev/sallyport/test/internal/nodeless"
)

const root = "../.."

// machine is where the programs run.
var machine nodeless.Machine

func TestMain(m *testing.M) { os.Exit(machine.Run(m)) }
