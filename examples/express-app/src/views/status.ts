import { CacheError, type Health, type Role } from '@stowage/core'
import { type Counts, hitRatio } from '../statistics.ts'
import { count, share, span, timing } from './format.ts'
import { type Html, html } from './html.ts'

export interface RoleStatus {
  readonly role: Role
  readonly health: Health
  readonly counts: Counts
}

export interface StatusView {
  readonly roles: readonly RoleStatus[]
  readonly uptimeMs: number
}

const titles: Readonly<Record<Role, string>> = { cache: 'Cache', session: 'Sessions' }

export function status({ roles, uptimeMs }: StatusView): Html {
  const ill = roles.filter(({ health }) => !health.ok)
  return html`<header class="page-head">
    <h1>Status</h1>
    <p class="lede">${summary(roles.length, ill.length)} This process has been up for ${span(uptimeMs)}.</p>
  </header>
  <div class="roles">${roles.map(roleCard)}</div>
  <p class="aside">Counted since this process started. Machines read
    <a href="/healthz">/healthz</a>.</p>`
}

function summary(all: number, ill: number): string {
  if (ill === 0) return 'Every store answers.'
  return ill === all ? 'No store answers.' : 'One of the stores does not answer.'
}

function roleCard({ role, health, counts }: RoleStatus): Html {
  return html`<section class="panel role" aria-labelledby="role-${role}" data-role="${role}">
    <header class="role-head">
      <div>
        <h2 id="role-${role}">${titles[role]}</h2>
        <p class="role-driver">kept in <strong data-driver>${health.driver}</strong></p>
      </div>
      ${pill(health)}
    </header>
    ${!health.ok && html`<p class="notice notice-error">${reason(health.error)}</p>`}
    ${ratio(counts)}
    <dl class="counts">
      ${number('Hits', counts.hits)}
      ${number('Misses', counts.misses)}
      ${number('Loads', counts.loads)}
      ${number('Errors', counts.errors)}
    </dl>
  </section>`
}

function pill({ ok, latencyMs }: Health): Html {
  return ok
    ? html`<p class="badge badge-hit">answers in ${timing(latencyMs)}</p>`
    : html`<p class="badge badge-unavailable">no answer</p>`
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
