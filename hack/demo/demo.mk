# The demonstration. Included by the Makefile.

##@ Try
.PHONY: demo
demo: ## A local Kubernetes with everything on it, and an address to sign in at. Again: brings it up to date.
	@hack/apt.sh ca-certificates nginx-light
	@go run ./hack/demo up

.PHONY: demo-down
demo-down: ## Remove the demonstration and every trace of it.
	@go run ./hack/demo down
