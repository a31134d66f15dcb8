import { type Html, html } from '@stowage/example-shared'
import { icon } from './components/icons.ts'

export interface ErrorPageView {
  readonly status: number
  readonly title: string
  readonly text: string
  /** The target of the "Try again" link, if trying again can help. */
  readonly retry: string | undefined
}

export function errorPage({ status, title, text, retry }: ErrorPageView): Html {
  return html`<div class="error-page">
    <div class="tile">${icon('lifebuoy')}</div>
    <p class="error-status" aria-hidden="true">${status}</p>
    <h1>${title}</h1>
    <p class="lede">${text}</p>
    <div class="actions">
      ${retry !== undefined && html`<a class="button" href="${retry}">Try again</a>`}
      <a class="button ${retry !== undefined && 'button-quiet'}" href="/">Back to the products</a>
    </div>
  </div>`
}
