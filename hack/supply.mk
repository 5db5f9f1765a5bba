##@ Supply
IMAGE_FLAGS := -ref $(IMG) -ldflags '$(LDFLAGS)' -label org.opencontainers.image.title=sallyport -label org.opencontainers.image.version=$(VERSION) \
	-label org.opencontainers.image.revision=$(COMMIT) -label org.opencontainers.image.licenses=Apache-2.0
# When the commit was made, so that two people who write the bill of one commit write the same.
COMMITTED   ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)

.PHONY: image
image: ## Build the one container image into .cluster/images/sallyport.tar, without a container engine.
	@go run ./hack/image -o $(IMAGE_TAR) $(IMAGE_FLAGS)

.PHONY: image-layout
image-layout: ## Build it for amd64 and arm64 into dist/image, an OCI image layout: skopeo copy --all oci:dist/image docker://...
	@go run ./hack/image -layout dist/image -arch amd64,arm64 $(IMAGE_FLAGS)

.PHONY: sbom
sbom: build ## Write dist/sallyport.spdx.json: what the programs in bin/ were linked from, in SPDX.
	@cd hack/tools && go run ./sbom -o $(ROOT)/dist/sallyport.spdx.json -version '$(VERSION)' -commit '$(COMMIT)' -created $(COMMITTED) $(addprefix $(BIN)/,operator serviceprovider kubectl-sso)
	@echo "wrote dist/sallyport.spdx.json"

.PHONY: reproducible
reproducible: ## Build programs, image and bill twice, once from nothing and in other surroundings, and fail when a byte differs. Minutes.
	@hack/reproducible.sh
