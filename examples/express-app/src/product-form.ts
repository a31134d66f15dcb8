import type { Product, ProductChange } from './products.ts'

/** What was typed, what is wrong with it, and, when nothing is, what it means. */
export interface ProductForm {
  readonly values: { readonly name: string; readonly price: string }
  readonly errors: { readonly name?: string; readonly price?: string }
  readonly change?: ProductChange
}

const longestName = 60

export function formOf(product: Product): ProductForm {
  const price = (product.priceCents / 100).toFixed(2)
  return { values: { name: product.name, price }, errors: {} }
}

export function readProductForm(body: unknown): ProductForm {
  const values = { name: fieldOf(body, 'name'), price: fieldOf(body, 'price') }
  const nameError = nameProblem(values.name)
  const cents = parsePrice(values.price)
  if (nameError === undefined && cents !== undefined) {
    return { values, errors: {}, change: { name: values.name, priceCents: cents } }
  }
  const priceError = cents === undefined ? priceProblem(values.price) : undefined
  return {
    values,
    errors: { ...(nameError && { name: nameError }), ...(priceError && { price: priceError }) },
  }
}

/** A text field of a submitted form; a missing or repeated one is empty. */
export function fieldOf(body: unknown, name: string): string {
  const value = (body as Record<string, unknown> | undefined)?.[name]
  return typeof value === 'string' ? value.trim() : ''
}

/** What is wrong with a name of a product or a person, if anything. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'Enter a name.'
  if ([...name].length > longestName) return `Use at most ${longestName} characters.`
  if (/\p{Cc}/u.test(name)) return 'Use letters, digits and punctuation only.'
  return undefined
}

function parsePrice(text: string): number | undefined {
  if (!/^\d{1,4}([.,]\d{1,2})?$/.test(text)) return undefined
  const cents = Math.round(Number(text.replace(',', '.')) * 100)
  return cents > 0 ? cents : undefined
}

function priceProblem(text: string): string {
  if (text === '') return 'Enter a price.'
  return 'Enter a price between 0.01 and 9999.99 euros, such as 4.80.'
}
