import { CacheError, type Health, type Role } from '@stowage/core'
import { type Html, html } from '@stowage/example-shared'
import type { NodeStatus } from '@stowage/memcached'
import { type Counts, hitRatio } from '../telemetry/statistics.ts'
import { count, duration, percentage, timing } from './components/format.ts'
import { isAnyUp, nodeList, upCount } from './components/node-list.ts'

export interface RoleStatus {
  readonly role: Role
  readonly health: Health
  readonly counts: Counts
  /** Empty if the backend has no nodes. */
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
    <p class="lede">${summary(roles)} This process has been up for ${duration(uptimeMs)}.</p>
  </header>
  <div class="roles">${roles.map(roleCard)}</div>
  <p class="aside">The counters start with the process. <a href="/healthz">/healthz</a> is the
    health check for load balancers.</p>`
}

function summary(roles: readonly RoleStatus[]): string {
  const down = roles.filter(({ health }) => !health.ok)
  if (down.length === 0) return 'All stores are available.'
  if (down.some(({ nodes }) => isAnyUp(nodes))) return 'Some nodes are unavailable.'
  return down.length === roles.length ? 'No store is available.' : 'One store is unavailable.'
}

function roleCard({ role, health, counts, nodes }: RoleStatus): Html {
  return html`<section class="panel role" aria-labelledby="role-${role}" data-role="${role}">
    <header class="role-head">
      <div>
        <h2 id="role-${role}">${titles[role]}</h2>
        <p class="role-driver">stored in <strong data-driver>${health.driver}</strong></p>
      </div>
      ${healthBadge(health, nodes)}
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

function healthBadge({ ok, latencyMs }: Health, nodes: readonly NodeStatus[]): Html {
  if (ok) return html`<p class="badge badge-good">responds in ${timing(latencyMs)}</p>`
  return isAnyUp(nodes)
    ? html`<p class="badge badge-warning">${upCount(nodes)}</p>`
    : html`<p class="badge badge-error">unavailable</p>`
}

function notice({ error }: Health, nodes: readonly NodeStatus[]): Html {
  const kind = isAnyUp(nodes) ? 'warning' : 'error'
  return html`<p class="notice notice-${kind}">${reason(error)}</p>`
}

/** Messages of a CacheError contain no keys and no credentials. Other messages might. */
function reason(error: unknown): string {
  return CacheError.is(error) ? `${error.code}: ${error.message}` : 'The store failed.'
}

function ratio(counts: Counts): Html {
  const value = hitRatio(counts)
  return html`<div class="ratio">
    <p class="ratio-line"><span>Hit ratio</span>
      <strong data-ratio>${value === undefined ? 'no lookups yet' : percentage(value)}</strong></p>
    <progress max="1" value="${value ?? 0}" aria-label="Hit ratio">${percentage(value ?? 0)}</progress>
  </div>`
}

function number(term: string, value: number): Html {
  return html`<div><dt>${term}</dt><dd data-count="${term.toLowerCase()}">${count(value)}</dd></div>`
}
