import { type Html, html } from './html.ts'
import type { LocalServers } from './local-servers.ts'
import type { Note, Reading } from './note.ts'
import { readingList } from './reading-list.ts'
import { serverCards } from './server-cards.ts'
import type { ServerState } from './servers.ts'

export interface PageOptions {
  /** The visitor's, from his cookie. */
  readonly token: string | undefined
  readonly readings: readonly Reading[]
  readonly states: readonly ServerState[]
  readonly nameOf: (address: string | undefined) => string
  readonly local: LocalServers | undefined
  readonly now: number
}

export function page(options: PageOptions): string {
  const { token, readings, states, nameOf, local, now } = options
  const newest = newestOf(readings)
  return layout(html`<header class="head">
    <h1>Read from replicas, see what you wrote</h1>
    <p class="lede">Process A writes a note to the primary. Processes A, B and C read it, each through a store of its
      own; replicas follow the primary${local && ' over a wire that is slow on purpose'}.</p>
  </header>
  ${writeForm()}
  ${readingList({ readings, newest, nameOf, token, now })}
  ${serverCards({ states, newest, local })}
  ${tokenPanel(token)}`)
}

export function problemPage(text: string): string {
  return layout(html`<div class="panel problem">
    <h1>That did not work</h1>
    <p role="alert">${text}</p>
    <p><a class="button" href="/">Back to the note</a></p>
  </div>`)
}

function newestOf(readings: readonly Reading[]): Note | undefined {
  const notes = readings.flatMap(({ note }) => note ?? [])
  return notes.sort((a, b) => b.at - a.at)[0]
}

function writeForm(): Html {
  return html`<section class="panel write" aria-label="Write">
    <form method="post" action="/note">
      <label for="text">A note for process A to write</label>
      <div class="row">
        <input id="text" name="text" required maxlength="60" autocomplete="off"
          placeholder="Something new">
        <button class="button">Write and read</button>
      </div>
    </form>
  </section>`
}

function tokenPanel(token: string | undefined): Html {
  return html`<section class="panel" aria-labelledby="token-title">
    <h2 id="token-title">What B was told</h2>
    ${
      token === undefined
        ? html`<p>Nothing yet. Write a note: the answer sets a cookie with a token that stands for the write.</p>`
        : html`<p class="token"><code data-token>${token}</code></p>
        <p>The token names a place in the primary’s stream of changes. Your browser carries it as a cookie; B calls
          <code>cache.observe(token)</code> before it reads, and takes no replica that has not come as far. C reads without it.</p>`
    }
  </section>`
}

function layout(body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Primary and replicas · Stowage</title>
  <link rel="icon" href="/favicon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
  <main>
    ${body}
  </main>
</body>
</html>
`.toString()
}
