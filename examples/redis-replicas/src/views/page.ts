import { type Html, html, htmlDocument } from '@stowage/example-shared'
import type { LocalServers } from '../local/local-servers.ts'
import type { Note, NoteRead } from '../note.ts'
import type { ServerState } from '../server-inspector.ts'
import { readsTable } from './reads-table.ts'
import { serverCards } from './server-cards.ts'

export interface PageOptions {
  /** The token in the visitor's cookie. */
  readonly token: string | undefined
  readonly reads: readonly NoteRead[]
  readonly states: readonly ServerState[]
  readonly nameOf: (address: string | undefined) => string
  readonly local: LocalServers | undefined
  readonly now: number
}

export function page(options: PageOptions): string {
  const { token, reads, states, nameOf, local, now } = options
  const newest = newestOf(reads)
  return layout(html`<header class="page-head">
    <h1>Reading your own writes from replicas</h1>
    <p class="lede">Process A writes a note to the primary. Processes A, B and C read it, each through its own
      store.${local && ' Replication to the replicas is delayed on purpose.'}</p>
  </header>
  ${writeForm()}
  ${readsTable({ reads, newest, nameOf, token, now })}
  ${serverCards({ states, newest, local })}
  ${tokenPanel(token)}`)
}

export function errorPage(text: string): string {
  return layout(html`<div class="panel error-page">
    <h1>The request failed</h1>
    <p role="alert">${text}</p>
    <p><a class="button" href="/">Back to the note</a></p>
  </div>`)
}

function newestOf(reads: readonly NoteRead[]): Note | undefined {
  const notes = reads.flatMap(({ note }) => note ?? [])
  return notes.sort((a, b) => b.writtenAt - a.writtenAt)[0]
}

function writeForm(): Html {
  return html`<section class="panel write" aria-label="Write">
    <form method="post" action="/note">
      <label for="text">Note to write in process A</label>
      <div class="row">
        <input id="text" name="text" required maxlength="60" autocomplete="off"
          placeholder="Any text">
        <button class="button">Write and read</button>
      </div>
    </form>
  </section>`
}

function tokenPanel(token: string | undefined): Html {
  return html`<section class="panel" aria-labelledby="token-title">
    <h2 id="token-title">Consistency token of process B</h2>
    ${
      token === undefined
        ? html`<p>None yet. When you write a note, the response sets a cookie with the token of the write.</p>`
        : html`<p class="token"><code data-token>${token}</code></p>
        <p>The token is a position in the replication stream of the primary. The browser sends it as a cookie. Process B
          calls <code>cache.observe(token)</code> before it reads, and then skips replicas that have not reached this
          position. Process C reads without the token.</p>`
    }
  </section>`
}

function layout(body: Html): string {
  return htmlDocument('Primary and replicas · Stowage', html`<main>${body}</main>`)
}
