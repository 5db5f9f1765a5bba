##@ Supply
IMAGE_FLAGS := -ref $(IMG) -ldflags '$(LDFLAGS)' -label org.opencontainers.image.title=sallyport -label org.opencontainers.image.version=$(VERSION) \
	-label org.opencontainers.image.revision=$(COMMIT) -label org.opencontainers.image.licenses=Apache-2.0
# The platforms of linux that the image is for.
ARCHS       := amd64 arm64
comma       := ,
space       := $(subst ,, )
# When the commit was made, so that two people who write the bill of one commit write the same.
COMMITTED   ?= $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)

.PHONY: image
image: ## Build the one container image into .cluster/images/sallyport.tar, without a container engine.
	@go run ./hack/image -o $(IMAGE_TAR) $(IMAGE_FLAGS)

.PHONY: image-layout
image-layout: ## Build it for amd64 and arm64 into dist/image, an OCI image layout: skopeo copy --all oci:dist/image docker://...
	@go run ./hack/image -layout dist/image -arch $(subst $(space),$(comma),$(ARCHS)) $(IMAGE_FLAGS)

.PHONY: image-check
image-check: image-layout ## Run the programs of both platforms in dist/image, those of the other under qemu-user. Minutes the first time.
	@hack/image-check.sh '$(VERSION)' '$(COMMIT)'

.PHONY: dockerfile-check
dockerfile-check: image-layout ## Build the Dockerfile with buildah, and compare with dist/image. Minutes, and a quarter of an hour the first time.
	@hack/dockerfile-check.sh '$(VERSION)' '$(COMMIT)'

.PHONY: sbom
sbom: ## Write dist/sallyport-ARCH.spdx.json for both platforms: what the programs of the image were linked from, in SPDX.
	@for arch in $(ARCHS); do \
		mkdir -p dist/programs/$$arch; \
		GOOS=linux GOARCH=$$arch $(GO_BUILD) -o dist/programs/$$arch/ ./cmd/operator ./cmd/serviceprovider ./cmd/kubectl-sso; \
		(cd hack/tools && go run ./sbom -o $(ROOT)/dist/sallyport-$$arch.spdx.json -version '$(VERSION)' -commit '$(COMMIT)' -created $(COMMITTED) \
			$(addprefix $(ROOT)/dist/programs/$$arch/,operator serviceprovider kubectl-sso)); \
		echo "wrote dist/sallyport-$$arch.spdx.json"; \
	done

.PHONY: reproducible
reproducible: ## Build image and bill of both platforms twice, once from nothing and in other surroundings, and fail when a byte differs. Minutes.
	@hack/reproducible.sh
