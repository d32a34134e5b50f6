Bo0JUD¾ÿ%Z?Gø
=