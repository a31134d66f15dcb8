import { type Html, html } from '@stowage/example-shared'
import { errorSummary, textField } from './components/forms.ts'

export interface SignInView {
  readonly name: string
  readonly error?: string
  /** The page that required signing in, if any. */
  readonly next: string | undefined
}

export function signInForm({ name, error, next }: SignInView): Html {
  return html`<div class="narrow">
    <header class="page-head">
      <h1>Sign in</h1>
      <p class="lede">${next === undefined ? 'Sign in to edit products and to count your visits.' : 'Sign in to open that page.'}</p>
    </header>
    ${errorSummary(error === undefined ? {} : { name: error })}
    <form class="panel form" method="post" action="/sign-in" novalidate>
      ${next !== undefined && html`<input type="hidden" name="next" value="${next}">`}
      ${textField({
        name: 'name',
        label: 'Your name',
        hint: 'This is a demo: use any name. There is no password.',
        value: name,
        error,
        autoComplete: 'given-name',
      })}
      <div class="actions"><button class="button" type="submit">Sign in</button></div>
    </form>
    <p class="aside">Signing in starts a new session with a new ID.</p>
  </div>`
}
