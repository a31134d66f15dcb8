import { type Html, html } from './html.ts'
import { mark } from './icons.ts'

/** Who looks at the page, and what the frame around it must know. */
export interface Viewer {
  readonly path: string
  /** Name of the signed-in user. */
  readonly name: string | undefined
  /** The session store failed: whoever this is, the page is a guest's. */
  readonly sessionsDown: boolean
}

export interface Page {
  readonly title: string
  readonly viewer: Viewer
  readonly body: Html
  /** The page itself says that the session store does not answer. */
  readonly explained: boolean
}

export function layout({ title, viewer, body, explained }: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>${title} · Stowage Provisions</title>
  <link rel="icon" href="/favicon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <a class="skip" href="#main">Skip to content</a>
  ${header(viewer)}
  <main id="main" class="wrap">
    ${viewer.sessionsDown && !explained && sessionsDown}
    ${body}
  </main>
  <footer class="footer">
    <div class="wrap">
      <p>A demonstration of Stowage. Nothing here is for sale.</p>
    </div>
  </footer>
</body>
</html>
`.toString()
}

const sessionsDown: Html = html`<p class="notice notice-warning" role="status">
  <strong>You are browsing as a guest.</strong>
  The session store does not answer at the moment. The shop stays open, and signing in will work
  again soon.
</p>`

function header(viewer: Viewer): Html {
  return html`<header class="header">
    <div class="wrap header-row">
      <a class="brand" href="/">${mark}<span>Stowage <span class="brand-thin">Provisions</span></span></a>
      <nav class="nav" aria-label="Main">
        ${link(viewer, '/', 'Products')}
        ${link(viewer, '/status', 'Status')}
        ${viewer.name === undefined ? link(viewer, '/sign-in', 'Sign in') : user(viewer)}
      </nav>
    </div>
  </header>`
}

function user(viewer: Viewer): Html {
  return html`${link(viewer, '/account', 'Account')}
    <form class="nav-form" method="post" action="/sign-out">
      <button class="nav-link" type="submit">Sign out</button>
    </form>`
}

function link({ path }: Viewer, href: string, text: string): Html {
  return html`<a class="nav-link" href="${href}"${path === href && html` aria-current="page"`}>${text}</a>`
}
