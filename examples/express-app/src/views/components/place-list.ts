import { type Html, html } from '@stowage/example-shared'
import type { Place } from '../../backends.ts'

const badges: Readonly<Record<NonNullable<Place['state']>, string>> = {
  up: 'good',
  connecting: 'info',
  idle: 'info',
  down: 'error',
  closed: 'error',
}

/** Where a role stores its data, with the states of Memcached nodes. */
export function placeList(role: string, places: readonly Place[]): Html {
  return html`<section class="nodes" aria-labelledby="role-${role} nodes-${role}">
    <h3 id="nodes-${role}" class="eyebrow">${titleOf(places)}</h3>
    <ul>${places.map(row)}</ul>
  </section>`
}

/** Whether the backend can serve at least some of its keys. */
export function isAnyUp(places: readonly Place[]): boolean {
  return places.some(({ state }) => state === 'up')
}

export function upCount(places: readonly Place[]): string {
  const up = places.filter(({ state }) => state === 'up').length
  return `${up} of ${places.length} nodes up`
}

function titleOf(places: readonly Place[]): string {
  if (places.some(({ role }) => role !== 'node')) return 'Addresses'
  return places.length === 1 ? '1 node' : `${places.length} nodes`
}

function row({ address, role, state, detail }: Place): Html {
  return html`<li class="node" data-node="${address}" data-state="${state ?? 'unknown'}">
    <div>
      <p class="node-name">${breakable(address)}</p>
      <small>${detail ?? role}</small>
    </div>
    ${state !== undefined && html`<span class="badge badge-${badges[state]}">${state}</span>`}
    ${state === undefined && detail !== undefined && html`<span class="badge badge-info">${role}</span>`}
  </li>`
}

/** AWS host names are longer than a narrow column: allows a line break after each dot. */
function breakable(name: string): Html {
  return html`${name.split(/(?<=\.)/).map((label) => html`${label}<wbr>`)}`
}
