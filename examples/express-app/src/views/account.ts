import { type Html, html } from '@stowage/example-shared'
import { deviceName, isPhone, placeName } from './components/device.ts'
import { dateTime, duration } from './components/format.ts'
import { icon } from './components/icons.ts'

/** Another session of the user. */
export interface DeviceView {
  readonly key: string
  readonly userAgent: string
  /** IP address. */
  readonly address: string
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
  return html`<section class="panel devices" aria-labelledby="sessions">
    <h2 id="sessions">Your other sessions</h2>
    <ul>${devices.map(deviceRow)}</ul>
    <form method="post" action="/sessions/end-others"><button class="button" type="submit">Sign out everywhere else</button></form>
  </section>`
}

function deviceRow({ key, userAgent, address, signedInAt }: DeviceView): Html {
  const name = deviceName(userAgent)
  return html`<li class="device">
    <div class="tile">${icon(isPhone(userAgent) ? 'phone' : 'computer')}</div>
    <div class="device-text">
      <p class="device-name">${name}</p>
      <small>${placeName(address)}</small>
      <small>since ${time(signedInAt)}</small>
    </div>
    <form method="post" action="/sessions/end"><input type="hidden" name="key" value="${key}">
      <button class="button button-quiet" type="submit">Sign out<span class="visually-hidden"> ${name}</span></button></form>
  </li>`
}

function row(term: string, value: Html): Html {
  return html`<div><dt>${term}</dt><dd>${value}</dd></div>`
}

function time(date: Date): Html {
  return html`<time datetime="${date.toISOString()}">${dateTime(date)}</time>`
}
