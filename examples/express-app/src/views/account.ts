import { type Html, html } from '@stowage/example-shared'
import { dateTime, duration } from './components/format.ts'

/** Another session of the user. */
export interface DeviceView {
  readonly key: string
  readonly device: string
  readonly signedInAt: Date
}

export interface AccountView {
  readonly name: string
  /** Shown once. */
  readonly messages: readonly string[]
  readonly devices: readonly DeviceView[]
  readonly visits: number
  readonly signedInAt: Date
  readonly expiresAt: Date
  readonly driver: string
}

export function account(view: AccountView): Html {
  return html`<div class="narrow">
    <header class="page-head">
      <p class="eyebrow">Account</p>
      <h1>Welcome, ${view.name}</h1>
    </header>
    ${view.messages.map((message) => html`<p class="notice" role="status">${message}</p>`)}
    <section class="panel">
      <p class="counter"><strong data-visits>${view.visits}</strong>
        <span>${view.visits === 1 ? 'visit' : 'visits'} to this page in this session</span></p>
      <dl class="rows">
        ${row('Signed in', time(view.signedInAt))}
        ${row(
          'Session expires',
          html`${time(view.expiresAt)}
            <small>in ${duration(view.expiresAt.getTime() - Date.now())}; each request extends it</small>`,
        )}
        ${row('Stored in', html`${view.driver}`)}
      </dl>
      <div class="actions">
        <form method="get" action="/account"><button class="button" type="submit">Visit again</button></form>
        <form method="post" action="/sign-out"><button class="button button-quiet" type="submit">Sign out</button></form>
      </div>
    </section>
    ${view.devices.length > 0 && otherSessions(view.devices)}
  </div>`
}

function otherSessions(devices: readonly DeviceView[]): Html {
  return html`<section class="panel" aria-labelledby="sessions">
    <h2 id="sessions">Your other sessions</h2>
    <ul>
      ${devices.map(
        ({ key, device, signedInAt }) => html`<li>${device}, since ${time(signedInAt)}
          <form method="post" action="/sessions/end"><input type="hidden" name="key" value="${key}">
            <button class="button button-quiet" type="submit">Sign out this device</button></form></li>`,
      )}
    </ul>
    <form method="post" action="/sessions/end-others"><button class="button" type="submit">Sign out all others</button></form>
  </section>`
}

function row(term: string, value: Html): Html {
  return html`<div><dt>${term}</dt><dd>${value}</dd></div>`
}

function time(date: Date): Html {
  return html`<time datetime="${date.toISOString()}">${dateTime(date)}</time>`
}
