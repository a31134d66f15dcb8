import type { NodeStatus } from '@stowage/memcached'
import { type Html, html } from './html.ts'

const badges: Readonly<Record<NodeStatus['state'], string>> = {
  up: 'hit',
  connecting: 'shared',
  idle: 'shared',
  down: 'unavailable',
  closed: 'unavailable',
}

/** The nodes a role's keys are spread over, each with its state. */
export function nodeList(role: string, nodes: readonly NodeStatus[]): Html {
  return html`<section class="nodes" aria-labelledby="nodes-${role}">
    <h3 id="nodes-${role}" class="eyebrow">${nodes.length === 1 ? '1 node' : `${nodes.length} nodes`}</h3>
    <ul>${nodes.map(row)}</ul>
  </section>`
}

/** Whether the backend answers for a part of its keys at least. */
export function areSomeUp(nodes: readonly NodeStatus[]): boolean {
  return nodes.some(({ state }) => state === 'up')
}

export function nodesUp(nodes: readonly NodeStatus[]): string {
  const up = nodes.filter(({ state }) => state === 'up').length
  return `${up} of ${nodes.length} nodes up`
}

function row(node: NodeStatus): Html {
  const name = nameOf(node)
  return html`<li class="node" data-node="${name}" data-state="${node.state}">
    <div>
      <p class="node-name">${breakable(name)}</p>
      <small>${detail(node)}</small>
    </div>
    <span class="badge badge-${badges[node.state]}">${node.state}</span>
  </li>`
}

/** Where the name leads to, and what is there; or why nothing is. */
function detail({ host, ip, version, error }: NodeStatus): string {
  if (error !== undefined) return error.message
  const what = version === undefined ? 'not needed yet' : `Memcached ${version}`
  return ip === undefined || ip === host ? what : `${ip} · ${what}`
}

/** The names of AWS are longer than a narrow column: they may go on below behind a dot. */
function breakable(name: string): Html {
  return html`${name.split(/(?<=\.)/).map((label) => html`${label}<wbr>`)}`
}

function nameOf({ host, port }: NodeStatus): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
