import { delays } from './delays.ts'
import { type Html, html } from './html.ts'
import type { LocalServers } from './local-servers.ts'
import type { Note } from './note.ts'
import { seen } from './seen.ts'
import type { ServerState } from './servers.ts'

export interface ServerCardsOptions {
  readonly states: readonly ServerState[]
  readonly newest: Note | undefined
  readonly local: LocalServers | undefined
}

export function serverCards({ states, newest, local }: ServerCardsOptions): Html {
  return html`<section class="panel" id="servers" aria-labelledby="servers-title">
    <div class="panel-head">
      <div>
        <h2 id="servers-title">What each server holds</h2>
        <p class="muted">Asked directly, past the store.</p>
      </div>
      ${local && delayForm(local.delayMs)}
    </div>
    <ul class="servers">${states.map((state, index) => card(state, newest, index, local))}</ul>
  </section>`
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
    ${status === 'away' ? html`<p class="muted">Reads pass it over.</p>` : held(state, newest)}
    ${local && index > 0 && switchForm(name, index, local)}
  </li>`
}

const badges = { up: 'new', 'cut off': 'old', away: 'failed' } as const

function held({ value, behind }: ServerState, newest: Note | undefined): Html {
  const note = value === undefined ? undefined : noteOf(value)
  return html`<p>${seen(note, note?.at === newest?.at ? 'new' : 'old')}</p>
    <p class="muted">${progress(behind)}</p>`
}

function progress(behind: number | undefined): string {
  if (behind === undefined) return 'the primary cannot be asked'
  return behind === 0 ? 'has every change' : `lacks ${behind} bytes`
}

function noteOf(value: string): Note | undefined {
  try {
    return JSON.parse(value) as Note
  } catch {
    return undefined
  }
}

function switchForm(name: string, index: number, local: LocalServers): Html {
  const runs = local.replicas[index - 1]?.runs === true
  return html`<form method="post" action="/replicas/${index}">
    <button class="button button-quiet">${runs ? 'Kill' : 'Start'}<span class="hidden"> ${name}</span></button>
  </form>`
}

function delayForm(delayMs: number): Html {
  const option = ([ms, text]: [number, string]) =>
    html`<option value="${ms}"${ms === delayMs && html` selected`}>${text}</option>`
  return html`<form class="row" method="post" action="/delay">
    <label class="hidden" for="ms">Delay of replication</label>
    <select id="ms" name="ms">${[...delays].map(option)}</select>
    <button class="button button-quiet">Set delay</button>
  </form>`
}
