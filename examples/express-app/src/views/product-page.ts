import { type Html, html } from '@stowage/example-shared'
import type { Product } from '../products.ts'
import { price } from './components/format.ts'
import { icon } from './components/icons.ts'

export function productPage({ id, name, detail, priceCents }: Product, renderedAt: Date): Html {
  return html`<div class="narrow">
    <header class="page-head page-head-icon">
      <div class="tile">${icon(id)}</div>
      <div>
        <h1>${name}</h1>
        <p class="lede">${detail}</p>
      </div>
    </header>
    <section class="panel" aria-label="Price">
      <p class="product-foot">
        <span class="price">${price(priceCents)}</span>
        <a class="button button-quiet" href="/products/${id}/edit">Edit<span class="visually-hidden"> ${name}</span></a>
      </p>
    </section>
    <p class="aside">This page was rendered at ${renderedAt.toISOString().slice(11, 19)} UTC, and is the same for everyone
      until the product is edited. The <a href="/status">status page</a> shows how it was sent.</p>
  </div>`
}
