package signin

import (
	"net/http"
	"net/url"

	"sallyport.dev/sallyport/internal/web/pages"
	"sallyport.dev/sallyport/internal/web/serve"
	"sallyport.dev/sallyport/internal/web/site"
)

// again marks a request that comes from the page of askAgain, so that a browser which brings no cookie with that one either does not go in circles.
const again = "again"

// withheld says whether the browser may have a session and has not sent it: a Strict cookie stays away from a navigation that another site began, redirects included.
// Whoever is signed in would sign in once more then, and the session of before would stay.
func withheld(s *site.Site, r *http.Request) bool {
	return s.Cookie.SameSite == "Strict" && r.Header.Get("Sec-Fetch-Site") == "cross-site" && serve.Cookie(r, s.Cookie.Name) == "" && !r.URL.Query().Has(again)
}

// askAgain has the browser begin the navigation anew from a page of ours, with all its cookies.
func (h *Handler) askAgain(w http.ResponseWriter, s *site.Site, path string, query url.Values) {
	query.Set(again, "1")
	to := s.Snapshot.ServiceProvider.URL + path + "?" + query.Encode()
	w.Header().Set("Refresh", "0; url="+to)
	h.Page(w, s, http.StatusOK, pages.Message{Good: true, Heading: "One moment", Action: &pages.Link{URL: to, Label: "Continue"}})
}

// values is what was asked for as the query of the sign-in page.
func (a ask) values() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"idp": a.idp, "login_hint": a.email} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if a.other {
		query.Set("other", "1")
	}
	if a.asked {
		query.Set("rd", a.back)
	}
	return query
}
