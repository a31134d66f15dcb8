import { type Html, html } from '@stowage/example-shared'
import { delays } from '../local/delays.ts'
import type { LocalServers } from '../local/local-servers.ts'
import type { Note } from '../note.ts'
import type { ServerState } from '../server-inspector.ts'
import { ageOf, noteView } from './note-view.ts'

export interface ServerCardsOptions {
  readonly states: readonly ServerState[]
  readonly newest: Note | undefined
  readonly local: LocalServers | undefined
}

export function serverCards({ states, newest, local }: ServerCardsOptions): Html {
  return html`<section class="panel" id="servers" aria-labelledby="servers-title">
    <div class="panel-head">
      <div>
        <h2 id="servers-title">Value on each server</h2>
        <p class="muted">Queried directly, not through the store.</p>
      </div>
      ${local && delayForm(local.delayMs)}
    </div>
    <ul class="servers">${states.map((state, index) => card(state, newest, index, local))}</ul>
  </section>`
}

const badges: Readonly<Record<ServerState['status'], string>> = {
  up: 'good',
  'link down': 'warning',
  down: 'error',
}

function card(
  state: ServerState,
  newest: Note | undefined,
  index: number,
  local: LocalServers | undefined,
): Html {
  const { name, address, status } = state
  return html`<li class="server" data-server="${name}" data-status="${status}">
    <div class="server-head">
      <div>
        <h3>${name}</h3>
        <p class="muted">${address}</p>
      </div>
      <span class="badge badge-${badges[status]}">${status}</span>
    </div>
    ${status === 'down' ? html`<p class="muted">Reads skip this server.</p>` : value(state, newest)}
    ${local && index > 0 && killForm(name, index, local)}
  </li>`
}

function value({ value, bytesBehind }: ServerState, newest: Note | undefined): Html {
  const note = value === undefined ? undefined : parseNote(value)
  return html`<p>${noteView(note, ageOf(note, newest))}</p>
    <p class="muted">${lag(bytesBehind)}</p>`
}

function lag(bytesBehind: number | undefined): string {
  if (bytesBehind === undefined) return 'lag unknown: the primary is down'
  return bytesBehind === 0 ? 'up to date' : `${bytesBehind} bytes behind`
}

function parseNote(value: string): Note | undefined {
  try {
    return JSON.parse(value) as Note
  } catch {
    return undefined
  }
}

function killForm(name: string, index: number, local: LocalServers): Html {
  const running = local.replicas[index - 1]?.running === true
  return html`<form method="post" action="/replicas/${index}">
    <button class="button button-quiet">${running ? 'Kill' : 'Start'}<span class="visually-hidden"> ${name}</span></button>
  </form>`
}

function delayForm(delayMs: number): Html {
  const option = ([ms, text]: [number, string]) =>
    html`<option value="${ms}"${ms === delayMs && html` selected`}>${text}</option>`
  return html`<form class="row" method="post" action="/delay">
    <label class="visually-hidden" for="ms">Replication delay</label>
    <select id="ms" name="ms">${[...delays].map(option)}</select>
    <button class="button button-quiet">Set delay</button>
  </form>`
}
