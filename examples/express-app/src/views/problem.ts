import { type Html, html } from './html.ts'
import { icon } from './icons.ts'

export interface ProblemView {
  readonly status: number
  readonly title: string
  readonly text: string
  /** Where to try again, if that can help. */
  readonly retry?: string
}

export function problem({ status, title, text, retry }: ProblemView): Html {
  return html`<div class="problem">
    <div class="tile">${icon('lifebuoy')}</div>
    <p class="problem-status" aria-hidden="true">${status}</p>
    <h1>${title}</h1>
    <p class="lede">${text}</p>
    <div class="actions">
      ${retry !== undefined && html`<a class="button" href="${retry}">Try again</a>`}
      <a class="button ${retry !== undefined && 'button-quiet'}" href="/">Back to the products</a>
    </div>
  </div>`
}
