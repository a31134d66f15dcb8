import { errorSummary, textField } from './forms.ts'
import { type Html, html } from './html.ts'

export interface SignInView {
  readonly name: string
  readonly error?: string
  /** Where to go afterwards, when something else was asked for first. */
  readonly next: string | undefined
}

export function signInForm({ name, error, next }: SignInView): Html {
  return html`<div class="narrow">
    <header class="page-head">
      <h1>Sign in</h1>
      <p class="lede">${next === undefined ? 'Come aboard to edit products and count your visits.' : 'That page is for the crew. Sign in, and you go on to it.'}</p>
    </header>
    ${errorSummary(error === undefined ? {} : { name: error })}
    <form class="panel form" method="post" action="/sign-in" novalidate>
      ${next !== undefined && html`<input type="hidden" name="next" value="${next}">`}
      ${textField({
        name: 'name',
        label: 'Your name',
        hint: 'This is a demonstration: any name will do, and there is no password.',
        value: name,
        error,
        autoComplete: 'given-name',
      })}
      <div class="actions"><button class="button" type="submit">Sign in</button></div>
    </form>
    <p class="aside">Signing in starts a new session under a new id.</p>
  </div>`
}
