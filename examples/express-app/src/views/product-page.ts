import { type Html, html } from '@stowage/example-shared'
import type { Product } from '../products.ts'
import { price } from './components/format.ts'
import { icon } from './components/icons.ts'

export function productPage({ id, name, detail, priceCents }: Product, renderedAt: Date): Html {
  return html`<header class="page-head">
    <h1>${name}</h1>
    <p class="lede">${detail}</p>
  </header>
  <div class="product">
    <div class="product-art">${icon(id)}</div>
    <div class="product-text">
      <p class="product-foot"><span class="price">${price(priceCents)}</span></p>
      <p class="product-detail">This page was rendered at ${renderedAt.toISOString().slice(11, 19)}, and is the same for
        everyone until the product is edited. <a href="/status">How it was sent</a> is on the status page.</p>
    </div>
  </div>
  <p class="aside"><a href="/products/${id}/edit">Edit ${name}</a></p>`
}
