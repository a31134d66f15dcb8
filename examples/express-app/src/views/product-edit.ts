import { type Html, html } from '@stowage/example-shared'
import type { ProductForm } from '../product-form.ts'
import type { Product } from '../products.ts'
import { errorSummary, textField } from './components/forms.ts'
import { icon } from './components/icons.ts'

export function productEdit(product: Product, { values, errors }: ProductForm): Html {
  return html`<div class="narrow">
    <header class="page-head page-head-icon">
      <div class="tile">${icon(product.id)}</div>
      <div>
        <p class="eyebrow">Edit product</p>
        <h1>${product.name}</h1>
      </div>
    </header>
    ${errorSummary(errors)}
    <form class="panel form" method="post" novalidate>
      ${textField({
        name: 'name',
        label: 'Name',
        value: values.name,
        error: errors.name,
        autoComplete: 'off',
      })}
      ${textField({
        name: 'price',
        label: 'Price in euros',
        value: values.price,
        error: errors.price,
        unit: '€',
        inputMode: 'decimal',
        autoComplete: 'off',
      })}
      <div class="actions">
        <button class="button" type="submit">Save changes</button>
        <a class="button button-quiet" href="/">Cancel</a>
      </div>
    </form>
    <p class="aside">Saving deletes the cached list, so the next request for it is a miss.</p>
  </div>`
}
