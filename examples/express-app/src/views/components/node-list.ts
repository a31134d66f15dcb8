import { type Html, html } from '@stowage/example-shared'
import type { NodeStatus } from '@stowage/memcached'

const badges: Readonly<Record<NodeStatus['state'], string>> = {
  up: 'good',
  connecting: 'info',
  idle: 'info',
  down: 'error',
  closed: 'error',
}

/** The nodes of a role, each with its state. */
export function nodeList(role: string, nodes: readonly NodeStatus[]): Html {
  return html`<section class="nodes" aria-labelledby="nodes-${role}">
    <h3 id="nodes-${role}" class="eyebrow">${nodes.length === 1 ? '1 node' : `${nodes.length} nodes`}</h3>
    <ul>${nodes.map(row)}</ul>
  </section>`
}

/** Whether the backend can serve at least some of its keys. */
export function isAnyUp(nodes: readonly NodeStatus[]): boolean {
  return nodes.some(({ state }) => state === 'up')
}

export function upCount(nodes: readonly NodeStatus[]): string {
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

/** IP address and version, or the error of an unavailable node. */
function detail({ host, ip, version, error }: NodeStatus): string {
  if (error !== undefined) return error.message
  const server = version === undefined ? 'not connected yet' : `Memcached ${version}`
  return ip === undefined || ip === host ? server : `${ip} · ${server}`
}

/** AWS host names are longer than a narrow column: allows a line break after each dot. */
function breakable(name: string): Html {
  return html`${name.split(/(?<=\.)/).map((label) => html`${label}<wbr>`)}`
}

function nameOf({ host, port }: NodeStatus): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
