import { CacheError, type Health, type Role } from '@stowage/core'
import type { NodeStatus } from '@stowage/memcached'
import { type Counts, hitRatio } from '../statistics.ts'
import { count, share, span, timing } from './format.ts'
import { type Html, html } from './html.ts'
import { areSomeUp, nodeList, nodesUp } from './nodes.ts'

export interface RoleStatus {
  readonly role: Role
  readonly health: Health
  readonly counts: Counts
  /** Where the backend has nodes that it can tell. */
  readonly nodes: readonly NodeStatus[]
}

export interface StatusView {
  readonly roles: readonly RoleStatus[]
  readonly uptimeMs: number
}

const titles: Readonly<Record<Role, string>> = { cache: 'Cache', session: 'Sessions' }

export function status({ roles, uptimeMs }: StatusView): Html {
  return html`<header class="page-head">
    <h1>Status</h1>
    <p class="lede">${summary(roles)} This process has been up for ${span(uptimeMs)}.</p>
  </header>
  <div class="roles">${roles.map(roleCard)}</div>
  <p class="aside">Counted since this process started. Machines read
    <a href="/healthz">/healthz</a>.</p>`
}

function summary(roles: readonly RoleStatus[]): string {
  const ill = roles.filter(({ health }) => !health.ok)
  if (ill.length === 0) return 'Every store answers.'
  if (ill.some(({ nodes }) => areSomeUp(nodes))) return 'Some nodes do not answer.'
  return ill.length === roles.length ? 'No store answers.' : 'One of the stores does not answer.'
}

function roleCard({ role, health, counts, nodes }: RoleStatus): Html {
  return html`<section class="panel role" aria-labelledby="role-${role}" data-role="${role}">
    <header class="role-head">
      <div>
        <h2 id="role-${role}">${titles[role]}</h2>
        <p class="role-driver">kept in <strong data-driver>${health.driver}</strong></p>
      </div>
      ${pill(health, nodes)}
    </header>
    ${!health.ok && notice(health, nodes)}
    ${ratio(counts)}
    <dl class="counts">
      ${number('Hits', counts.hits)}
      ${number('Misses', counts.misses)}
      ${number('Loads', counts.loads)}
      ${number('Errors', counts.errors)}
    </dl>
    ${nodes.length > 0 && nodeList(role, nodes)}
  </section>`
}

function pill({ ok, latencyMs }: Health, nodes: readonly NodeStatus[]): Html {
  if (ok) return html`<p class="badge badge-hit">answers in ${timing(latencyMs)}</p>`
  return areSomeUp(nodes)
    ? html`<p class="badge badge-miss">${nodesUp(nodes)}</p>`
    : html`<p class="badge badge-unavailable">no answer</p>`
}

function notice({ error }: Health, nodes: readonly NodeStatus[]): Html {
  const kind = areSomeUp(nodes) ? 'warning' : 'error'
  return html`<p class="notice notice-${kind}">${reason(error)}</p>`
}

/** Messages of the library name neither keys nor credentials; those of others might. */
function reason(error: unknown): string {
  return CacheError.is(error) ? `${error.code}: ${error.message}` : 'The store failed.'
}

function ratio(counts: Counts): Html {
  const value = hitRatio(counts)
  return html`<div class="ratio">
    <p class="ratio-line"><span>Hit ratio</span>
      <strong data-ratio>${value === undefined ? 'no lookups yet' : share(value)}</strong></p>
    <progress max="1" value="${value ?? 0}" aria-label="Hit ratio">${share(value ?? 0)}</progress>
  </div>`
}

function number(term: string, value: number): Html {
  return html`<div><dt>${term}</dt><dd data-count="${term.toLowerCase()}">${count(value)}</dd></div>`
}
