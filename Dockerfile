# One image carries all three programs. `make image` builds the same programs, byte for byte, without a container engine.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v0.1.0 --build-arg COMMIT=$(git rev-parse HEAD) -t registry.example.com/sallyport:v0.1.0 --push .
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
ARG TARGETOS TARGETARCH VERSION=dev COMMIT=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY config/crd config/crd
COPY controllers controllers
COPY internal internal
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X sallyport.dev/sallyport/internal/version.Version=$VERSION -X sallyport.dev/sallyport/internal/version.Commit=$COMMIT" \
    -o /out/ ./cmd/operator ./cmd/serviceprovider ./cmd/kubectl-sso

FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev COMMIT=unknown
LABEL org.opencontainers.image.title=sallyport \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$COMMIT \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/operator"]
