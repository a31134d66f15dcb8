import { type Html, html, htmlDocument } from '@stowage/example-shared'
import type { Product } from './product-database.ts'
import type { Shop } from './shop.ts'

export function page(shop: Shop, products: readonly Product[], visits: number): string {
  return htmlDocument(
    'Products',
    html`<main>
  <header class="page-head">
    <h1>Products</h1>
    <p class="lede">Loaded from SQLite when the cache does not have them, and saved to both. Reload the page: it needs
      no query.</p>
  </header>
  ${statistics(shop, visits)}
  <ul class="panel">${products.map(item)}</ul>
</main>`,
  )
}

function statistics({ hitRatio, database }: Shop, visits: number): Html {
  const { hits, misses, ratio } = hitRatio
  return html`<section class="panel" aria-label="Statistics">
    <dl id="statistics">
      <div><dt>Hit ratio</dt><dd>${hits + misses === 0 ? '–' : `${Math.round(ratio * 100)}%`}</dd></div>
      <div><dt>Hits</dt><dd>${hits}</dd></div>
      <div><dt>Misses</dt><dd>${misses}</dd></div>
      <div><dt>Queries</dt><dd>${database.queries}</dd></div>
      <div><dt>Your visits</dt><dd>${visits}</dd></div>
    </dl>
  </section>`
}

function item({ id, name, price }: Product): Html {
  return html`<li>
  <form method="post" action="/products/${id}">
    <label>Name <input name="name" value="${name}" required maxlength="60"></label>
    <label class="price">Price in cents
      <input name="price" value="${price}" type="number" min="0" required></label>
    <button class="button button-quiet">Save<span class="visually-hidden"> ${name}</span></button>
  </form>
</li>`
}
