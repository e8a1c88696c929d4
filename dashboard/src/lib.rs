//! The dashboard at `/`: one page of plain JavaScript modules over the REST API, embedded in the binary. No build step,
//! no framework, nothing loaded from elsewhere.
//!
//! # Map
//! - `assets`: the files, compressed once, under an address that names their content.
//! - `page`: how they are answered: content security policy, caching, the page for an unknown address.
//! - `static/`: `index.html` and its modules. `app.js` is the frame (log-in, navigation, shortcuts); `api.js` requests,
//!   `stream.js` what is live, `still.js` when that is not to move, `drafts.js` what is typed and not sent; `dom.js` and
//!   `format.js` build elements, always of text in which nothing is hidden; `parts.js` what several pages share; `charts.js` the plots; one file a page under `pages/`.
//!
//! # How to add a page
//! A module in `static/pages/` that exports `show(place, frame)`, its line in `assets::FILES`, in the `pages` of `app.js`
//! and among the preloads of `index.html`. Text from the API goes into elements as text: `h("td", {}, value)`, never as
//! markup; the content security policy would stop scripts, but nothing should have to.

mod assets;
mod page;

pub use page::over;
