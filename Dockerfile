# One image carries all three programs. `make image` builds the same contents without a container engine.
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
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X sallyport.dev/sallyport/internal/version.Version=$VERSION -X sallyport.dev/sallyport/internal/version.Commit=$COMMIT" \
    -o /out/ ./cmd/operator ./cmd/serviceprovider ./cmd/kubectl-sso

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/operator"]
