import { type Html, html } from '@stowage/example-shared'

export interface Field {
  readonly name: string
  readonly label: string
  readonly value: string
  readonly error: string | undefined
  readonly hint?: string
  /** Shown before the value, such as a currency symbol. */
  readonly unit?: string
  readonly inputMode?: 'decimal'
  readonly autoComplete: string
}

export function textField(field: Field): Html {
  const { name, label, value, error, hint, unit } = field
  const describedBy = [hint && `${name}-hint`, error && `${name}-error`].filter(Boolean).join(' ')
  return html`<div class="field">
    <label for="${name}">${label}</label>
    ${hint && html`<p class="hint" id="${name}-hint">${hint}</p>`}
    <div class="control">
      ${unit && html`<span class="unit" aria-hidden="true">${unit}</span>`}
      <input id="${name}" name="${name}" type="text" value="${value}" required
        autocomplete="${field.autoComplete}"${attribute('inputmode', field.inputMode)}${attribute(
          'aria-describedby',
          describedBy,
        )}${error && html` aria-invalid="true"`}>
    </div>
    ${error && html`<p class="error" id="${name}-error">${error}</p>`}
  </div>`
}

/** All errors at the top of the form, with a link to each field. */
export function errorSummary(errors: Readonly<Record<string, string | undefined>>): Html | false {
  const invalid = Object.entries(errors)
  if (invalid.length === 0) return false
  return html`<div class="notice notice-error" role="alert">
    <strong>Please check the form.</strong>
    <ul>${invalid.map(([name, error]) => html`<li><a href="#${name}">${error}</a></li>`)}</ul>
  </div>`
}

function attribute(name: string, value: string | undefined): Html | false {
  return value ? html` ${name}="${value}"` : false
}
