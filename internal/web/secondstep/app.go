package secondstep

import (
	"bytes"
	"errors"
	"image/png"
	"net/http"
	"strings"

	"github.com/pquerna/otp"

	"sallyport.dev/sallyport/internal/session/secondfactor"
	"sallyport.dev/sallyport/internal/web/pages"
)

// beginApp makes a secret for an authenticator app and shows it, once.
func (v *visit) beginApp() {
	enrolment, err := v.service.BeginTOTP(v.r.Context(), v.current.Key)
	if v.failed(err, "") {
		return
	}
	v.h.Page(v.w, v.s, http.StatusOK, pages.NewApp(enrolment.ID, enrolment.URL, enrolment.Secret, enrolment.QR, ""))
}

// confirmApp takes the first code. After a mistake the same secret is shown again, from what the form carries: the app has scanned it already.
func (v *visit) confirmApp() {
	result, err := v.service.ConfirmTOTP(v.r.Context(), v.current.Key, v.form("id"), strings.ReplaceAll(v.form("code"), " ", ""), label(v.form("label"), "Authenticator app"), v.by)
	if errors.Is(err, secondfactor.ErrWrong) {
		if page, ok := appAgain(v.form("id"), v.form("url")); ok {
			v.h.Page(v.w, v.s, http.StatusUnprocessableEntity, page)
			return
		}
	}
	if !v.failed(err, "That code is not right. Start again.") {
		v.passed(result)
	}
}

// appAgain draws the code of an address that the form carried. It is the person's own secret, and nothing is decided from it.
func appAgain(id, address string) (pages.App, bool) {
	key, err := otp.NewKeyFromURL(address)
	if err != nil || key.Type() != "totp" || len(address) > 512 {
		return pages.App{}, false
	}
	picture, err := key.Image(240, 240)
	if err != nil {
		return pages.App{}, false
	}
	var qr bytes.Buffer
	if err := png.Encode(&qr, picture); err != nil {
		return pages.App{}, false
	}
	return pages.NewApp(id, address, key.Secret(), qr.Bytes(), "That code is not right. Enter the code that the app shows now."), true
}
