import { CacheError, type Health, type Role } from '@stowage/core'
import { type Html, html } from '@stowage/example-shared'
import type { Place } from '../backends.ts'
import type { AnsweredRequest } from '../telemetry/cache-statuses.ts'
import type { Point } from '../telemetry/history.ts'
import { type Counts, hitRatio } from '../telemetry/statistics.ts'
import { cacheCharts } from './components/cache-charts.ts'
import { count, duration, percentage, timing } from './components/format.ts'
import { isAnyUp, placeList, upCount } from './components/place-list.ts'

export interface RoleStatus {
  readonly role: Role
  readonly health: Health
  readonly counts: Counts
  readonly lastMinutes: readonly Point[]
  readonly places: readonly Place[]
}

export interface StatusView {
  readonly roles: readonly RoleStatus[]
  /** The last requests for product pages. */
  readonly pages: readonly AnsweredRequest[]
  readonly uptimeMs: number
}

const titles: Readonly<Record<Role, string>> = { cache: 'Cache', session: 'Sessions' }

export function status({ roles, pages, uptimeMs }: StatusView): Html {
  return html`<header class="page-head">
    <h1>Status</h1>
    <p class="lede">${summary(roles)} Process ${process.pid} has been up for ${duration(uptimeMs)}.</p>
  </header>
  <div class="roles">${roles.map(roleCard)}</div>
  ${pages.length > 0 && productPages(pages)}
  <p class="aside">The counters start with the process, and each point of a line covers the minute before it.
    <a href="/metrics">/metrics</a> returns the same counters to Prometheus, <a href="/health">/health</a> is the health
    check for load balancers.</p>`
}

function productPages(pages: readonly AnsweredRequest[]): Html {
  return html`<section class="panel answers" aria-labelledby="product-pages">
    <h2 id="product-pages" class="eyebrow">Last requests for product pages</h2>
    <dl>${pages.map(
      ({ path, cacheStatus }) =>
        html`<div><dt>${path}</dt><dd><code data-cache-status>${cacheStatus}</code></dd></div>`,
    )}</dl>
  </section>`
}

function summary(roles: readonly RoleStatus[]): string {
  const down = roles.filter(({ health }) => !health.ok)
  if (down.length === 0) return 'All stores are available.'
  if (down.some(({ places }) => isAnyUp(places))) return 'Some nodes are unavailable.'
  return down.length === roles.length ? 'No store is available.' : 'One store is unavailable.'
}

function roleCard({ role, health, counts, lastMinutes, places }: RoleStatus): Html {
  return html`<section class="panel role" aria-labelledby="role-${role}" data-role="${role}">
    <header class="role-head">
      <div>
        <h2 id="role-${role}">${titles[role]}</h2>
        <p class="role-driver">stored in <strong data-driver>${health.driver}</strong></p>
      </div>
      ${healthBadge(health, places)}
    </header>
    ${!health.ok && notice(health, places)}
    ${(health.ok || isAnyUp(places)) && ratio(counts)}
    <dl class="counts">
      ${number('Hits', counts.hits)}
      ${number('Misses', counts.misses)}
      ${number('Loads', counts.loads)}
      ${number('Errors', counts.errors)}
    </dl>
    ${cacheCharts(lastMinutes)}
    ${places.length > 0 && placeList(role, places)}
  </section>`
}

function healthBadge({ ok, latencyMs }: Health, places: readonly Place[]): Html {
  if (ok) return html`<p class="badge badge-good">responds in ${timing(latencyMs)}</p>`
  return isAnyUp(places)
    ? html`<p class="badge badge-warning">${upCount(places)}</p>`
    : html`<p class="badge badge-error">unavailable</p>`
}

function notice({ error }: Health, places: readonly Place[]): Html {
  const kind = isAnyUp(places) ? 'warning' : 'error'
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
