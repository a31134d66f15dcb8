import { type Html, html, htmlDocument } from '@stowage/example-shared'
import { logo } from './components/icons.ts'

/** The user and the path of the request, for the navigation. */
export interface Viewer {
  readonly path: string
  /** Name of the signed-in user. */
  readonly name: string | undefined
  /** The session store is unavailable, so the user is unknown. */
  readonly sessionsDown: boolean
  /** The page is sent to everyone, so it must not show the user. @default false */
  readonly isShared?: boolean
}

export interface Page {
  readonly title: string
  readonly viewer: Viewer
  readonly body: Html
  /** The page reports the outage of the session store itself, so the layout shows no notice. */
  readonly isOutagePage: boolean
}

export function layout({ title, viewer, body, isOutagePage }: Page): string {
  const page = html`<a class="skip" href="#main">Skip to content</a>
  ${header(viewer)}
  <main id="main" class="wrap">
    ${viewer.sessionsDown && !isOutagePage && outageNotice}
    ${body}
  </main>
  <footer class="footer">
    <div class="wrap">
      <p>A Stowage example. Nothing is for sale.</p>
    </div>
  </footer>`
  return htmlDocument(`${title} · Stowage Provisions`, page)
}

const outageNotice: Html = html`<p class="notice notice-warning" role="status">
  <strong>You are browsing as a guest.</strong>
  The session store is unavailable. You can browse the products, and sign in when it is back.
</p>`

function header(viewer: Viewer): Html {
  return html`<header class="header">
    <div class="wrap header-row">
      <a class="brand" href="/">${logo}<span>Stowage <span class="brand-thin">Provisions</span></span></a>
      <nav class="nav" aria-label="Main">
        ${link(viewer, '/', 'Products')}
        ${link(viewer, '/status', 'Status')}
        ${viewer.isShared ? link(viewer, '/account', 'Account') : userLinks(viewer)}
      </nav>
    </div>
  </header>`
}

function userLinks(viewer: Viewer): Html {
  return viewer.name === undefined ? link(viewer, '/sign-in', 'Sign in') : user(viewer)
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
