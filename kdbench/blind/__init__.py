"""The eye as a judge: a page that shows two images without saying whose they are.

The page knows images and numbers of comparisons alone; which side is the student's stands in
`key.json` beside it, which is not needed to answer. So the page can be given away by itself.
"""
