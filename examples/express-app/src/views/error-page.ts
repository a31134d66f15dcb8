import { type Html, html } from '@stowage/example-shared'
import { icon } from './components/icons.ts'

export interface ErrorPageView {
  readonly status: number
  readonly title: string
  readonly text: string
  /** The path of the "Try again" link; `undefined` for no link. */
  readonly retryPath: string | undefined
}

export function errorPage({ status, title, text, retryPath }: ErrorPageView): Html {
  return html`<div class="error-page">
    <div class="tile">${icon('lifebuoy')}</div>
    <p class="error-status" aria-hidden="true">${status}</p>
    <h1>${title}</h1>
    <p class="lede">${text}</p>
    <div class="actions">
      ${retryPath !== undefined && html`<a class="button" href="${retryPath}">Try again</a>`}
      <a class="button ${retryPath !== undefined && 'button-quiet'}" href="/">Back to the products</a>
    </div>
  </div>`
}
