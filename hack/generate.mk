##@ Generate

# Tools that only generate and check live in their own module, hack/tools: their dependencies stay out of the product's.
TOOL := go tool -modfile=hack/tools/go.mod

.PHONY: generate
generate: ## Generate deep copies and apply configurations of the API.
	rm -rf api/v1alpha1/applyconfiguration
	$(TOOL) controller-gen object applyconfiguration paths=./api/v1alpha1

.PHONY: manifests
manifests: ## Generate the CRDs in config/crd/bases.
	$(TOOL) controller-gen crd paths=./api/v1alpha1 output:crd:dir=config/crd/bases
